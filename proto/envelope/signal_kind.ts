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

/** The names in the text form and in `PlainSignal`: those of the .proto file without `KIND_`. */
export type SignalKind = keyof typeof SIGNAL_NUMBERS;

const KINDS = /* @__PURE__ */ Object.keys(SIGNAL_NUMBERS) as SignalKind[];

/** The name of a number; "UNSPECIFIED" for an unknown one, for example a newer peer's. */
export function signalKind(number: number): SignalKind {
  return KINDS[number] ?? "UNSPECIFIED";
}

/** Whether a name from a client is a kind; false also for the names of Object.prototype. */
export function isSignalKind(name: string): name is SignalKind {
  return Object.hasOwn(SIGNAL_NUMBERS, name);
}
