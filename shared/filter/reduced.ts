/** Who receives the events of a room's reducer, as a part of the filter of its class, and without it. Pure. */

/** The receivers of a reducer's event: those named by its `x-to`, if it has one. */
const TO_FILTER = `(!("x-to" in headers) || ("sub" in claims && headers["x-to"] == "user:" + ` +
  `string(claims.sub)) || ("role" in claims && headers["x-to"] == "role:" + string(claims.role)))`;

/** The class's own filter is between these. */
const OWN = [`${TO_FILTER} && (`, ")"] as const;

/** The filter of a class with a reducer, in CEL. */
export const reducedFilter = (own: string | undefined): string =>
  own === undefined ? TO_FILTER : OWN.join(own);

/** The class's own part of that filter; undefined: it has none. */
export const ownFilterOf = (reduced: string): string | undefined =>
  reduced === TO_FILTER ? undefined : reduced.slice(OWN[0].length, -OWN[1].length);

/** As the filter without an own part decides, in no time. `to` is the event's `x-to`; undefined: it is for all. */
export const isFor = (
  to: string | undefined,
  { sub, role }: Readonly<Record<string, unknown>>,
): boolean => to === undefined || isNamed(to, "user", sub) || isNamed(to, "role", role);

/** An absent claim, or a list, names nobody. */
const isNamed = (to: string, kind: string, claim: unknown): boolean =>
  claim !== undefined && typeof claim !== "object" && to === `${kind}:${claim}`;
