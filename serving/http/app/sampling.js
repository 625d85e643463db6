// To 16 kHz as the service does it, since what browsers resample by leaves less below 8 kHz.

const PASS = 0.9137; // of the band that both rates have, as soxr's HQ: flat to there, gone at its end
const STOP_DB = 126;
const USUAL_HZ = 48000;

/** What a file states: its sampling rate, or that of most others, and the bits of whole-number samples. */
export function formatOf(content) {
  const view = new DataView(content);
  const has = (at, n) => at + n <= content.byteLength;
  const text = (at, n) => (has(at, n) ? String.fromCharCode(...new Uint8Array(content, at, n)) : "");
  let found = {};
  if (!has(0, 64)) found = {};
  else if (["RIFF", "RF64"].includes(text(0, 4)) && text(8, 4) === "WAVE") found = wave(view, has, text);
  else if (text(0, 4) === "fLaC") {
    found = { rate: view.getUint32(18) >>> 12, bits: ((view.getUint16(20) >>> 4) & 31) + 1 };
  } else if (text(0, 4) === "OggS" && text(29, 6) === "vorbis") {
    found = { rate: view.getUint32(40, true) };
  } else found = { rate: mpegRate(view, has, text) };
  const known = found.rate && found.rate <= 384000; // what a browser decodes at
  return { rate: known ? found.rate : USUAL_HZ, bits: found.bits ?? 0 };
}

function wave(view, has, text) {
  for (let at = 12; has(at, 24); ) {
    const size = view.getUint32(at + 4, true);
    if (text(at, 4) === "fmt ") {
      const extended = view.getUint16(at + 8, true) === 0xfffe && has(at, 34);
      const kind = view.getUint16(at + (extended ? 32 : 8), true);
      const bits = kind === 1 ? view.getUint16(at + 22, true) : 0;
      return { rate: view.getUint32(at + 12, true), bits };
    }
    at += 8 + size + (size % 2);
  }
  return {};
}

function mpegRate(view, has, text) {
  let at = 0;
  if (text(0, 3) === "ID3") {
    at = 10;
    for (let i = 6, shift = 21; i < 10; i++, shift -= 7) at += view.getUint8(i) << shift;
  }
  if (!has(at, 4) || view.getUint16(at) >>> 5 !== 0x7ff) return null;
  const version = (view.getUint8(at + 1) >> 3) & 3;
  const layer = (view.getUint8(at + 1) >> 1) & 3;
  const rate = [44100, 48000, 32000][(view.getUint8(at + 2) >> 2) & 3];
  if (!layer || version === 1 || !rate) return null; // ADTS has no layer
  return rate / { 3: 1, 2: 2, 0: 4 }[version];
}

/** Undo that Chromium divides samples above 0 by one less than those below: 32,767 of 16 bits. */
export function symmetric(samples, bits) {
  if (bits !== 8 && bits !== 16) return samples;
  const full = 2 ** (bits - 1);
  const highest = samples.find((sample) => sample > 300 / 32768) ?? 0;
  const level = highest * (full - 1);
  if (Math.abs(level - Math.round(level)) > 0.005) return samples; // another browser
  return samples.map((sample) => (sample > 0 ? (sample * (full - 1)) / full : sample));
}

/** Mix channels as `bonafide.audio.mixing` does: their mean, or the loudest where that cancels. */
export function mix(channels, { max_sample, cancelled, silent }) {
  const finite = (samples) => samples.every((sample) => Math.abs(sample) <= max_sample);
  if (!channels.every(finite)) {
    throw new Error(`it holds samples that are not numbers or beyond ${max_sample} times full scale`);
  }
  if (channels.length === 1) return channels[0];
  const mean = channels[0].map((_, i) => {
    let sum = 0;
    for (const samples of channels) sum += samples[i];
    return sum / channels.length;
  });
  const energies = channels.map(energy);
  const whole = energies.reduce((sum, each) => sum + each, 0);
  const kept = energy(mean) + silent * mean.length;
  if (kept >= (cancelled / channels.length ** 2) * whole) return mean;
  return channels[energies.indexOf(Math.max(...energies))];
}

/** Of what varies: an offset is no sound. */
function energy(samples) {
  const mean = samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
  return samples.reduce((sum, sample) => sum + (sample - mean) ** 2, 0);
}

/** Resample by a Kaiser-windowed sinc, phase by phase. */
export function resampled(sound, from, to) {
  if (from === to) return sound;
  const common = divisor(from, to);
  const [up, down] = [to / common, from / common];
  const band = Math.min(from, to) / 2;
  const cutoff = (band * (1 + PASS)) / from; // twice the middle of the transition, in cycles a sample
  const steep = (2 * Math.PI * band * (1 - PASS)) / from;
  const half = Math.ceil((STOP_DB - 8) / (2.285 * steep) / 2);
  const beta = 0.1102 * (STOP_DB - 8.7);
  const phases = new Map();
  const tapsOf = (phase) => {
    if (!phases.has(phase)) {
      phases.set(phase, Float32Array.from({ length: 2 * half + 1 }, (_, i) => {
        const t = half - i + phase / up;
        const inside = 1 - (t / (half + 1)) ** 2;
        const sinc = t ? Math.sin(Math.PI * cutoff * t) / (Math.PI * t) : cutoff;
        return (sinc * bessel(beta * Math.sqrt(Math.max(0, inside)))) / bessel(beta);
      }));
    }
    return phases.get(phase);
  };
  const made = new Float32Array(Math.round((sound.length * up) / down));
  for (let m = 0; m < made.length; m++) {
    const first = Math.floor((m * down) / up) - half;
    const taps = tapsOf((m * down) % up);
    const end = Math.min(taps.length, sound.length - first);
    let sum = 0;
    for (let i = Math.max(0, -first); i < end; i++) sum += taps[i] * sound[first + i];
    made[m] = sum;
  }
  return made;
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** The modified Bessel function of the first kind and order 0, by its series. */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
