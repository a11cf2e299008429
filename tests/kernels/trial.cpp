// One trial of primitives_check.cu by the emulator, for sanitizers and for deliberately broken sources.
//
//   trial NUMBER SCHEDULE SEED IN OUT WORDS     the files' bytes are the memory that the trial is given
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

extern "C" int interbert_primitive(int number, const void* in, void* out, void* stream);
extern "C" void interbert_emulator_schedule(int kind, uint64_t seed);

int main(int, char** arguments) {
  std::vector<uint32_t> in(48 * 256 / 2), out(static_cast<size_t>(atoi(arguments[6])), 0xffffffffu);
  FILE* from = fopen(arguments[4], "rb");
  if (!from || fread(in.data(), 4, in.size(), from) != in.size()) return 2;
  fclose(from);
  interbert_emulator_schedule(atoi(arguments[2]), static_cast<uint64_t>(atoi(arguments[3])));
  const int error = interbert_primitive(atoi(arguments[1]), in.data(), out.data(), nullptr);
  FILE* to = fopen(arguments[5], "wb");
  if (error || !to || fwrite(out.data(), 4, out.size(), to) != out.size()) return 3;
  fclose(to);
}
