// Numbers, sizes, times and JSON as readable text. Pure: the current time is an argument.

const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const DIGITS = [0, 1, 2, 3].map((places) =>
  new Intl.NumberFormat("en-US", { minimumFractionDigits: places, maximumFractionDigits: places })
);
const NONE = "–";
const isMissing = (value) => value === undefined || value === null || !Number.isFinite(value);

/** An integer with thousands separators, "–" without a value. */
export function count(value) {
  return isMissing(value) ? NONE : GROUPED.format(value);
}

/** A number that is an identifier, such as a version: digits only, as commands accept it. */
export function digits(value) {
  return isMissing(value) ? NONE : String(value);
}

/** A figure of any size in a few characters: 0.4, 9.5, 940, 9,400, 12.3 k, 4.1 M. */
export function compact(value) {
  if (isMissing(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 9.995) return DIGITS[size < 0.095 ? 2 : 1].format(value);
  if (size < 9_999.5) return GROUPED.format(value);
  if (size < 999_950) return `${DIGITS[1].format(value / 1e3)} k`;
  if (size < 999_950_000) return `${DIGITS[1].format(value / 1e6)} M`;
  return `${DIGITS[1].format(value / 1e9)} G`;
}

/** Messages a second. */
export function rate(value) {
  return isMissing(value) ? NONE : `${compact(value)}/s`;
}

/** Bytes in binary units. */
export function bytes(value) {
  if (isMissing(value)) return NONE;
  if (value < 1_024) return `${GROUPED.format(value)} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let scaled = value / 1_024;
  let unit = 0;
  while (scaled >= 1_000 && unit < units.length - 1) {
    scaled /= 1_024;
    unit++;
  }
  return `${DIGITS[scaled < 99.95 ? 1 : 0].format(scaled)} ${units[unit]}`;
}

/** A delay in ms: 0.4 ms, 12 ms, 1.3 s. */
export function milliseconds(value) {
  if (isMissing(value)) return NONE;
  if (value >= 1_000) return `${DIGITS[1].format(value / 1_000)} s`;
  return `${DIGITS[value < 9.95 ? 1 : 0].format(value)} ms`;
}

/** A short duration in µs: 84 µs, 1.2 ms. */
export function microseconds(value) {
  if (isMissing(value)) return NONE;
  return value < 1_000 ? `${DIGITS[0].format(value)} µs` : milliseconds(value / 1_000);
}

export function percent(share) {
  if (isMissing(share)) return NONE;
  const value = share * 100;
  const places = Number.isInteger(value) ? 0 : value < 1 ? 2 : 1;
  return `${DIGITS[places].format(value)} %`;
}

/** A duration in its two largest units: 45 s, 3 min 12 s, 2 d 4 h. */
export function duration(ms) {
  if (isMissing(ms)) return NONE;
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** The age of a time (Unix ms). */
export function ago(then_ms, now_ms) {
  return isMissing(then_ms) || then_ms === 0 ? NONE : `${duration(now_ms - then_ms)} ago`;
}

/** A time (Unix ms) in the local time zone, to the second. */
export function moment(ms) {
  if (isMissing(ms) || ms === 0) return NONE;
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return NONE;
  const two = (value) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${clock(ms)}`;
}

/** The time of day of a time (Unix ms), to the second. */
export function clock(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return NONE;
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, "0")).join(":");
}

/** "1 room", "2 rooms". */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Any value as text: a string unchanged, anything else as JSON, truncated to `units_max` UTF-16 units. */
export function textOf(value, units_max = 100_000, indent = 0) {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value, null, indent) ?? "";
  return text.length <= units_max ? text : `${text.slice(0, units_max)}…`;
}
