/** A number with its noun, in singular or plural. */

/** `1 schema`, `0 schemas`, `2 policies`; `many` where an s is not all that changes. */
export function plural(count: number | bigint, one: string, many: string = `${one}s`): string {
  return `${count} ${Number(count) === 1 ? one : many}`;
}
