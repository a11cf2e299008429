// Which regions words look at: pieces of words joined, shares of what a word gives to regions.

const TOP = 3;

/** [{word, shares of each region}] of the answer's explanation; the first is of all words together. */
export function wordsOf(explanation) {
  const words = [];
  explanation.words.forEach((piece, number) => {
    const weights = explanation.weights[number];
    const last = words.at(-1);
    if (piece.startsWith("##") && last) {
      last.word += piece.slice(2);
      last.sum = last.sum.map((sum, region) => sum + weights[region]);
    } else {
      words.push({ word: piece, sum: [...weights] });
    }
  });
  const regions = explanation.boxes.length;
  const all = Array.from({ length: regions }, (_, region) => words.reduce((sum, one) => sum + one.sum[region], 0));
  return [{ word: "all words", sum: all, all: true }, ...words].map(({ word, sum, all }) => ({
    word, all, shares: shares(sum),
  }));
}

function shares(weights) {
  const total = weights.reduce((sum, one) => sum + one, 0);
  return weights.map((one) => (total > 0 ? one / total : 0));
}

/** The regions that have most of it: [number, share]. */
export function topOf(word) {
  return word.shares.map((share, region) => [region, share]).sort((a, b) => b[1] - a[1]).slice(0, TOP);
}

/** What a region is called: from 1 on, and what its detector takes it for. */
export function nameOf(look, region) {
  const label = look.labels?.[region];
  return label ? `${region + 1} ${label}` : `region ${region + 1}`;
}
