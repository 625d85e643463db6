// What `bonafide.judging`, `bonafide.parts` and `bonafide.audio.speech` do, by the numbers of `rules`.

/** Cuts a recording into windows while it comes: whole ones, and one that ends with it. */
export class Cutter {
  constructor(rules) {
    this.rules = rules;
    this.heard = 0;
    this.last = new Float32Array(0);
    this.held = new Float32Array(0);
  }

  /** Take samples; return {start, window} of each that is whole now. */
  feed(samples) {
    const size = this.rules.window_samples;
    const found = [];
    let held = joined(this.held, samples);
    let start = this.heard - this.held.length;
    for (; held.length >= size; start += size) {
      this.last = held.slice(0, size);
      found.push({ start, window: this.last });
      held = held.subarray(size);
    }
    this.held = held.slice();
    this.heard += samples.length;
    return found;
  }

  /** Return the window of what is left, if it has one. A recording shorter than a window is repeated. */
  rest() {
    const { last, held, rules } = this;
    const size = rules.window_samples;
    if (!last.length && held.length) {
      return [{ start: 0, window: Float32Array.from({ length: size }, (_, i) => held[i % held.length]) }];
    }
    if (!last.length || tooShort(held.length, rules)) return [];
    return [{ start: this.heard - size, window: joined(last, held).slice(-size) }];
  }
}

function joined(a, b) {
  const whole = new Float32Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}

/** Whether it is shorter than what a verdict needs, rounded to hundredths. */
export function tooShort(length, rules) {
  return Number((length / rules.sample_rate_hz).toFixed(2)) < rules.min_sound_s;
}

/** Whether enough of its 20 ms frames have energy in the band of speech. */
export function hasSpeech(window, { sample_rate_hz, speech }) {
  const { frame_samples: size, band_hz, floor_dbfs, share, min_s } = speech;
  const needed = Math.ceil((min_s * sample_rate_hz) / size - 1e-9);
  const low = Math.ceil((band_hz[0] * size) / sample_rate_hz);
  const high = Math.floor((band_hz[1] * size) / sample_rate_hz);
  const { hann, cosine, sine } = tables(size);
  const weight = hann.reduce((sum, w) => sum + w * w, 0);
  const n_frames = Math.floor(window.length / size);
  let mean = 0;
  for (let i = 0; i < n_frames * size; i++) mean += window[i];
  mean /= n_frames * size;
  const frame = new Float64Array(size);
  let found = 0;
  for (let n = 0; n < n_frames && found < needed; n++) {
    let power = 0, sum = 0, other = 0;
    for (let i = 0; i < size; i++) {
      const x = (window[n * size + i] - mean) * hann[i];
      frame[i] = x;
      power += x * x;
      sum += x;
      other += i % 2 ? -x : x;
    }
    const whole = (size * power + sum * sum + other * other) / 2; // Parseval, of half the spectrum
    let band = 0;
    for (let k = low; k <= high; k++) {
      let real = 0, imaginary = 0;
      for (let i = 0, at = 0; i < size; i++, at = (at + k) % size) {
        real += frame[i] * cosine[at];
        imaginary += frame[i] * sine[at];
      }
      band += real * real + imaginary * imaginary;
    }
    const loud = (2 * band) / (size * weight) > 10 ** (floor_dbfs / 10);
    if (loud && band > share * whole) found++;
  }
  return found >= needed;
}

let known = null;
function tables(size) {
  if (known?.hann.length === size) return known;
  const of = (value) => Float64Array.from({ length: size }, (_, i) => value(2 * Math.PI * i));
  known = {
    hann: of((angle) => 0.5 - 0.5 * Math.cos(angle / (size - 1))),
    cosine: of((angle) => Math.cos(angle / size)),
    sine: of((angle) => Math.sin(angle / size)),
  };
  return known;
}

const logit = (p) => Math.log(p / (1 - p));
export const chance = (llr, prior) => 1 / (1 + Math.exp(llr - logit(prior)));
const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * What the scores of windows add up to.
 * @param rules what `serving.http.app.rules` writes
 * @param scored windows with speech in them: {start, llr, channel, distance}
 * @param silent how many have none
 * @param length of the recording, in samples
 */
export function judge(rules, scored, silent, length) {
  const seconds = (samples) => samples / rules.sample_rate_hz;
  const end = (start) => seconds(Math.min(start + rules.window_samples, length));
  const llr = scored.length ? average(scored.map((each) => each.llr)) : 0;
  const p_spoof = chance(llr, rules.prior_spoof);
  const segments = scored.map((each) => ({
    start_s: seconds(each.start),
    end_s: end(each.start),
    p_spoof: chance(each.llr, rules.prior_spoof),
  }));
  const channel = channelOf(rules, scored);
  const warnings = [];
  if (silent && scored.length) warnings.push("silent_windows");
  if (!scored.length) warnings.push("no_speech");
  else if (tooShort(length, rules)) warnings.push("too_short");
  const { distance_to, channels, ...common } = rules.thresholds;
  let verdict = "inconclusive";
  let parts = [];
  if (!warnings.some((code) => rules.no_verdict.includes(code))) {
    if (distance_to !== undefined && average(scored.map((each) => each.distance)) > distance_to) {
      warnings.push("unknown_channel");
    } else {
      const bars = { ...common, ...(channels ?? {})[channel?.name] };
      verdict = verdictOf(p_spoof, bars);
      if (verdict !== "spoof") parts = partsOf(rules, bars, scored, segments);
      if (parts.length) verdict = "partly_spoof";
    }
  }
  return { verdict, llr, p_spoof, duration_s: seconds(length), segments, channel, parts, warnings };
}

function channelOf(rules, scored) {
  if (!scored.length || !rules.channels.length) return null;
  const means = rules.channels.map((_, i) => average(scored.map((each) => each.channel[i])));
  const best = means.indexOf(Math.max(...means));
  return { ...rules.channels[best], p: means[best] };
}

function verdictOf(p_spoof, { bonafide_to, spoof_from }) {
  if (spoof_from !== null && p_spoof >= spoof_from) return "spoof";
  return bonafide_to !== null && p_spoof <= bonafide_to ? "bonafide" : "inconclusive";
}

function partsOf({ parts, prior_spoof }, { spoof_from, parts_from }, scored, segments) {
  if (spoof_from === null || parts_from === undefined) return [];
  const llrs = scored.map((each) => each.llr);
  const bar = logit(prior_spoof) - logit(spoof_from); // -Infinity where a spoof must be certain
  if (llrs.length < parts.min_windows || average(llrs) <= bar) return [];
  const sorted = [...llrs].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  const level = Math.min(0, Math.max(bar, median));
  return runs(llrs.map((llr) => level - llr - parts.drift), parts_from).map(([first, last]) => ({
    start_s: segments[first].start_s,
    end_s: segments[last - 1].end_s,
    p_spoof: chance(average(llrs.slice(first, last)), prior_spoof),
  }));
}

/** Runs whose evidence sums to a bar, from the highest sum down. */
function runs(evidence, atLeast) {
  const sums = [0];
  for (const each of evidence) sums.push(sums.at(-1) + each);
  const found = [];
  const pending = [[0, sums.length]];
  while (pending.length) {
    const [start, end] = pending.pop();
    let lowest = start, first = start, last = start, gain = -Infinity;
    for (let i = start; i < end; i++) {
      if (sums[i] < sums[lowest]) lowest = i;
      if (sums[i] - sums[lowest] > gain) [gain, first, last] = [sums[i] - sums[lowest], lowest, i];
    }
    if (gain < atLeast) continue;
    found.push([first, last]);
    pending.push([start, first + 1], [last, end]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}
