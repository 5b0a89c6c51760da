/**
 * The two errors of the Overseer's module checks. `WasmError`: a binary breaks the rules of WebAssembly;
 * `PolicyModuleError`: the gateway does not accept a module as a policy. Clients receive neither as it is:
 * the admin API puts the sentence into its answer.
 */

/**
 * How a binary fails. `malformed`: not the binary format; `invalid`: does not validate;
 * `unsupported`: a later or optional feature, named in the sentence; `limit`: over a static limit.
 */
export type WasmErrorKind = "malformed" | "invalid" | "unsupported" | "limit";

/** Names of WebAssembly features that this decoder does not support, as sentences use them. */
export type UnsupportedFeature =
  | "SIMD"
  | "relaxed SIMD"
  | "threads"
  | "shared memory"
  | "exceptions"
  | "tail calls"
  | "typed function references"
  | "GC"
  | "memory64"
  | "several memories"
  | "extended const"
  | "custom page sizes"
  | "wide arithmetic"
  | "half precision"
  | "compact imports"
  | "memory control"
  | "stack switching"
  | "stringref"
  | "components";

/** The fault of a binary and its position (bytes from the start), in one sentence. */
export class WasmError extends Error {
  override readonly name = "WasmError";
  readonly kind: WasmErrorKind;
  /** Offset in bytes from the start of the module. */
  readonly offset: number;
  /** Set when `kind` is `unsupported`. */
  readonly feature: UnsupportedFeature | undefined;

  /** `sentence` has no position: the message adds it. */
  constructor(kind: WasmErrorKind, sentence: string, offset: number, feature?: UnsupportedFeature) {
    super(`${sentence} (at byte ${offset})`);
    this.kind = kind;
    this.offset = offset;
    this.feature = feature;
  }
}

/** Breaks a rule of the binary format. */
export function malformed(sentence: string, offset: number): WasmError {
  return new WasmError("malformed", sentence, offset);
}

/** Does not validate. */
export function invalid(sentence: string, offset: number): WasmError {
  return new WasmError("invalid", sentence, offset);
}

/** Over a static limit. */
export function overLimit(sentence: string, offset: number): WasmError {
  return new WasmError("limit", sentence, offset);
}

/** Uses a feature that policies may not use; `what` is the construct. */
export function unsupported(feature: UnsupportedFeature, what: string, offset: number): WasmError {
  return new WasmError(
    "unsupported",
    `${what} needs ${feature}, which is not supported`,
    offset,
    feature,
  );
}

/** Why the gateway does not accept a module: a stable reason in kebab-case and a sentence for people. */
export class PolicyModuleError extends Error {
  override readonly name = "PolicyModuleError";
  readonly reason: string;

  /** `cause` is the `WasmError`, if there is one. */
  constructor(reason: string, sentence: string, options?: ErrorOptions) {
    super(sentence, options);
    this.reason = reason;
  }
}
