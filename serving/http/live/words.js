// What a verdict is called, and what it is worth.
export const WORDS = {
  bonafide: "Likely a person",
  spoof: "Likely generated",
  partly_spoof: "Parts are likely generated",
  inconclusive: "Not clear",
};
export const percent = (share) => `${Math.round(100 * share)} %`;

/** What a verdict on such sound is worth, or why there is none. */
export function meaning({ verdict, channel, warnings, parts }) {
  const why = warnings.map(({ message }) => message).join("; ");
  if (verdict === "inconclusive") {
    const open = channel && channel.decided !== null
      ? `Of 100 recordings of such sound ${Math.round(100 * channel.decided)} get a verdict.`
      : "";
    return why ? `${why[0].toUpperCase()}${why.slice(1)}.` : open;
  }
  const where = parts.map(({ start_s, end_s }) => `${start_s}–${end_s} s`).join(", ");
  const rate = channel && channel.wrong
    ? `Of 100 verdicts on such sound ${Math.round(100 * channel.wrong.value)} are wrong.`
    : "";
  return [where && `From ${where}.`, rate].filter(Boolean).join(" ");
}
