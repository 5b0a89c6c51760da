/**
 * JSON kept as text. Values pass through the Brain unchanged, so that a number beyond 2^53 or `1.0` keeps its form.
 * `JSON.parse` validates the text; these functions only split and compact valid text. Not a JSON parser.
 */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** The index after the JSON string that begins at `start`, in valid JSON. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at + 1;
}

/** The index of the `,` or `}` that ends the value at `start`, in valid and compact JSON. */
function valueEnd(text: string, start: number): number {
  let depth = 0;
  let at = start;
  for (;;) {
    const char = text[at];
    if (char === '"') {
      at = stringEnd(text, at);
      continue;
    }
    if (depth === 0 && (char === "," || char === "}")) return at;
    if (char === "{" || char === "[") depth++;
    if (char === "}" || char === "]") depth--;
    at++;
  }
}

/**
 * Drops the white space between the tokens of valid JSON and nothing else. The result has no line
 * feed and no tab, since inside a JSON string both are always escaped.
 */
export function compactJson(text: string): string {
  const parts: string[] = [];
  let from = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at);
    } else if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      if (at > from) parts.push(text.slice(from, at));
      from = ++at;
    } else {
      at++;
    }
  }
  if (from === 0) return text;
  parts.push(text.slice(from));
  return parts.join("");
}

/**
 * The members of one JSON object: name to compact value text. Throws SyntaxError when the text is
 * not JSON, is not an object, or names a member twice (`JSON.parse` would keep the last, so that a
 * reader before us might have seen another).
 */
export function objectMembers(text: string): Map<string, string> {
  const parsed: unknown = JSON.parse(text);
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
    throw new SyntaxError("expected a JSON object");
  }
  const compact = compactJson(text);
  const members = new Map<string, string>();
  let at = 1;
  while (compact[at] === '"') {
    const nameEnd = stringEnd(compact, at);
    const name: string = JSON.parse(compact.slice(at, nameEnd));
    const end = valueEnd(compact, nameEnd + 1);
    if (members.has(name)) throw new SyntaxError("a member is there twice");
    members.set(name, compact.slice(nameEnd + 1, end));
    at = end + 1;
  }
  return members;
}
