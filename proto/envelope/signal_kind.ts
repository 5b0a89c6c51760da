/** The kinds of `SystemSignal` by name and Protobuf number. */
export const SIGNAL_NUMBERS = {
  UNSPECIFIED: 0,
  DISCONNECT: 1,
  BAN: 2,
  UNBAN: 3,
  REVOKE: 4,
  DRAIN: 5,
  GAP: 6,
} as const;

/** The names that the text form and `PlainSignal` use: those of the .proto file without `KIND_`. */
export type SignalKind = keyof typeof SIGNAL_NUMBERS;

const KINDS = /* @__PURE__ */ Object.keys(SIGNAL_NUMBERS) as SignalKind[];

/** A number that is not known here, for example a newer peer's, is "UNSPECIFIED". */
export function signalKind(number: number): SignalKind {
  return KINDS[number] ?? "UNSPECIFIED";
}

/** False also for the names of Object.prototype; `name` may be anything that a client sent. */
export function isSignalKind(name: string): name is SignalKind {
  return Object.hasOwn(SIGNAL_NUMBERS, name);
}
