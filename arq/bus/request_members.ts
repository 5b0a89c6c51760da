/** Members of the bus's requests from the options and operands of a command. */

/** The bus's name of a member, and the option's name where it is not the same in camelCase. */
export type NamePair = readonly [name: string, own?: string | undefined];

const camel = (name: string) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** Parses names: `room,user_id=user`. */
export const namePairs = (names: string): NamePair[] =>
  names.split(",").filter((one) => one !== "").map((one) => {
    const [name = "", own] = one.split("=");
    return [name, own];
  });

/** The given ones of these members, each with its value. */
export const pick = (
  pairs: readonly NamePair[],
  given: Readonly<Record<string, unknown>>,
): (readonly [name: string, value: unknown])[] =>
  pairs.flatMap(([name, own]) => {
    const value = given[own ?? camel(name)] ?? given[name];
    return value === undefined ? [] : [[name, value] as const];
  });

/** The members that `names` names, as an object. */
export const membersFrom = (names: string, given: object): Record<string, unknown> =>
  Object.fromEntries(pick(namePairs(names), { ...given }));
