/**
 * The syntax of room and tenant ids, and the prefix patterns of rooms in grants and configuration. Pure. Only
 * `shared/subjects/subject.ts` builds subjects from ids.
 */
const ID = /^[A-Za-z0-9_~:=-]{1,64}$/;

/** True for one NATS token of 1 to 64 bytes of `[A-Za-z0-9_~:=-]`. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** The problem of an id, with control bytes escaped; `undefined` for a valid id. */
export function idProblem(text: string): string | undefined {
  if (ID.test(text)) return undefined;
  const bad = /[^A-Za-z0-9_~:=-]/u.exec(text)?.[0];
  const what = bad !== undefined
    ? `character ${JSON.stringify(bad)}`
    : text === ""
    ? "the id is empty"
    : `${text.length} bytes`;
  return `${what}; expected 1 to 64 bytes of [A-Za-z0-9_~:=-]`;
}

/** Whether a text is a pattern: an id, a prefix of one followed by `*`, or `*` alone. */
export function isRoomPattern(pattern: string): boolean {
  return pattern === "*" || isId(pattern.endsWith("*") ? pattern.slice(0, -1) : pattern);
}

/** `chat-*` matches every room that begins with `chat-`; without `*` only the same id matches. */
export function matchesRoomPattern(pattern: string, room: string): boolean {
  return pattern.endsWith("*") ? room.startsWith(pattern.slice(0, -1)) : pattern === room;
}
