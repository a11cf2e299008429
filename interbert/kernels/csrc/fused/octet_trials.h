// Trials of octets: queries, keys and values of a head that arrive together.
//
// in: 12288 elements of 16 bits, as tokens of two heads.
#pragma once

#include "octets.h"
#include "stages.h"

namespace {

struct OctetTrial {
  Heads heads;
  uint32_t* out;
};

// The second head of the last 13 tokens; of the 16 rows that are brought the others are zeros.
template <int D>
KERNEL(32, 1) octets(GIVEN OctetTrial t) {
  using O = Octets<D>;
  constexpr int LAST = 13;
  constexpr Shared ARRIVALS = 2 * O::OCTET;
  const Part<32, 1> part;
  if (part.leads()) {
    prefetch(t.heads);
    prepare_stage(part, ARRIVALS);
    fence_arrivals();
  }
  sync_block();
  if (BULK) seal_stage(part, ARRIVALS, 2 * O::OCTET);
  start_octets<D>(0, t.heads, t.heads.count - LAST, 1, LAST, ARRIVALS);
  if (!BULK) seal_stage(part, ARRIVALS, 0);
  await(ARRIVALS, 0);
  for (int i = thread(); i < 3 * 16 * O::CHUNKS; i += 32) {
    const int chunk = i % O::CHUNKS, row = i / O::CHUNKS % 16, which = i / O::CHUNKS / 16;
    write_16(t.out + 4 * i, load_16(which * O::PART + O::own(row, chunk % O::PANEL) + O::known(0, chunk)));
  }
}

template <int D>
int try_octets(const void* in, void* out, void* stream) {
  OctetTrial t = {{}, static_cast<uint32_t*>(out)};
  const int tokens = 12288 / (3 * 2 * D);
  if (int error = describe_heads(t.heads, in, tokens, 2, D / 8, panel_chunks(D / 8))) return error;
  return launch<octets<D>>(t, 1, 32, 2 * Octets<D>::OCTET + 16, stream);
}

}  // namespace
