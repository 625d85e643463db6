// To 16 kHz as the service does it, since what browsers resample by leaves less below 8 kHz.

const PASS = 0.9137; // of the band that both rates have, as soxr's HQ: flat to there, gone at its end
const STOP_DB = 126;
const USUAL_HZ = 48000;

/** The sampling rate that a file states; that of most others where it is not known here. */
export function rateOf(content) {
  const view = new DataView(content);
  const text = (at, n) => String.fromCharCode(...new Uint8Array(content, at, Math.min(n, content.byteLength - at)));
  const has = (at, n) => at + n <= content.byteLength;
  if (!has(0, 64)) return USUAL_HZ;
  let rate = USUAL_HZ;
  if (["RIFF", "RF64"].includes(text(0, 4)) && text(8, 4) === "WAVE") {
    for (let at = 12; has(at, 16); at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) % 2)) {
      if (text(at, 4) === "fmt ") {
        rate = view.getUint32(at + 12, true);
        break;
      }
    }
  } else if (text(0, 4) === "fLaC") {
    rate = view.getUint32(18) >>> 12;
  } else if (text(0, 4) === "OggS" && text(29, 6) === "vorbis") {
    rate = view.getUint32(40, true);
  } else {
    rate = mpegRate(view, has, text) ?? USUAL_HZ;
  }
  return rate >= 3000 && rate <= 384000 ? rate : USUAL_HZ; // what a browser decodes at
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

/** Undo that Chromium divides 16-bit samples above 0 by 32,767, and those below by 32,768. */
export function symmetric(samples) {
  for (let i = 0, seen = 0; i < samples.length && seen < 4096; i++) {
    if (samples[i] <= 0) continue;
    const level = samples[i] * 32767;
    if (Math.abs(level - Math.round(level)) > 0.01) return samples; // no 16-bit samples, or none that it divided so
    seen++;
  }
  return samples.map((sample) => (sample > 0 ? (sample * 32767) / 32768 : sample));
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
