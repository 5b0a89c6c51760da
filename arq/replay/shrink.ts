/**
 * Makes a message smaller for as long as it still has a property: by its JSON structure when it is JSON, by
 * its characters when it is text, else by its bytes (Zeller and Hildebrandt, "Simplifying and Isolating
 * Failure-Inducing Input", 2002). Pure.
 */

/** Most messages that are tried. */
const TRIES = 20_000;

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Every sequence that lacks one stretch, long stretches first. */
function* shorter<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let size = items.length; size >= 1; size = Math.floor(size / 2)) {
    for (let start = 0; start < items.length; start += size) {
      yield [...items.slice(0, start), ...items.slice(start + size)];
    }
  }
}

/** Every JSON value that is one step simpler. */
function* simpler(value: unknown): Generator<unknown> {
  if (typeof value === "string") {
    for (const characters of shorter([...value])) yield characters.join("");
  } else if (typeof value === "number") {
    if (value !== 0) yield 0;
    if (!Number.isInteger(value)) yield Math.trunc(value);
  } else if (Array.isArray(value)) {
    yield* shorter(value);
    for (const [at, member] of value.entries()) {
      for (const next of simpler(member)) yield value.with(at, next);
    }
  } else if (typeof value === "object" && value !== null) {
    const members = Object.entries(value);
    for (const fewer of shorter(members)) yield Object.fromEntries(fewer);
    for (const [at, [name, member]] of members.entries()) {
      for (const next of simpler(member)) {
        yield Object.fromEntries(members.with(at, [name, next]));
      }
    }
  }
}

/** Takes the first simpler value that has the property, until none has or `tries` are used up. */
function reduce<T>(first: T, next: (value: T) => Iterable<T>, has: (value: T) => boolean): T {
  let value = first;
  let tries = 0;
  for (;;) {
    let found: { readonly value: T } | undefined;
    for (const one of next(value)) {
      if (++tries > TRIES) return value;
      if (!has(one)) continue;
      found = { value: one };
      break;
    }
    if (found === undefined) return value;
    value = found.value;
  }
}

/** A smaller payload for which `has` is true, as it must be for the given one. */
export function shrinkPayload(
  payload: Uint8Array,
  has: (payload: Uint8Array) => boolean,
): Uint8Array {
  let text: string;
  try {
    text = strict.decode(payload);
  } catch {
    const bytes = reduce<readonly number[]>(
      [...payload],
      shorter,
      (one) => has(Uint8Array.from(one)),
    );
    return Uint8Array.from(bytes);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    const characters = reduce<readonly string[]>(
      [...text],
      shorter,
      (one) => has(encoder.encode(one.join(""))),
    );
    return encoder.encode(characters.join(""));
  }
  const written = (value: unknown) => encoder.encode(JSON.stringify(value));
  // Without its blanks and escapes it may have lost the property.
  if (!has(written(json))) return payload;
  return written(reduce(json, simpler, (value) => has(written(value))));
}
