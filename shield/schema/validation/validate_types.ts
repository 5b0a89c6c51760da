/**
 * What a validation says, and the bounds on schemas and on the work that they may cause. Data only.
 */

/** What a field outside the schema does: nothing, be named, or refuse the message. */
export type UnknownFields = "allow" | "warn" | "refuse";

/** One thing that is wrong. */
export interface Violation {
  /** `entity[2].vehicle.position.latitude`; "" for the message itself. */
  readonly path: string;
  /**
   * `required`, `wire-type`, `utf8`, `truncated`, `varint`, `field-number`, `unknown-field`, `group`,
   * `depth`, `json`, `rule-cost`, `rule-error`, or the id of a protovalidate rule.
   */
  readonly rule: string;
  /** A sentence for people, without a full stop. */
  readonly message: string;
}

/** What a validation found. Nothing found: `violations` is empty. */
export interface Validation {
  /** The first ones, at most `SchemaLimits.violations`. */
  readonly violations: readonly Violation[];
  /** How many there are in all; of a long JSON text at least so many. */
  readonly total: number;
  /** Fields outside the schema, values outside a closed enum. Counted in every mode, as `total`. */
  readonly unknown: number;
  /** Paths of the first of them when they are to be named (`warn`), else empty. */
  readonly unknown_paths: readonly string[];
}

/** How data is judged. */
export interface ValidateOptions {
  readonly unknown_fields: UnknownFields;
}

/** Bounds on schemas and on the work that they may cause. */
export interface SchemaLimits {
  /** Messages inside one another, the outermost one and map entries included. */
  readonly depth: number;
  /** Violations and unknown paths that are named; the rest is only counted. */
  readonly violations: number;
  /** Message types that one message may reach. */
  readonly messages: number;
  /** CEL expressions and patterns that one message may reach. */
  readonly expressions: number;
  /** UTF-16 units of one CEL expression or pattern. */
  readonly expression_chars: number;
  /** Steps of CEL macros and pattern matching over one message; about a microsecond each. */
  readonly rule_steps: number;
  /** How long the rules may take over one message; steps differ in what they cost. */
  readonly rule_time_ms: number;
}

/** What the Shield uses. */
export const SCHEMA_LIMITS: SchemaLimits = {
  depth: 100,
  violations: 16,
  messages: 10_000,
  expressions: 1_000,
  expression_chars: 4_096,
  rule_steps: 300_000,
  rule_time_ms: 500,
};

/** Nothing found. Shared, so that a good message costs no allocation. */
export const VALID: Validation = Object.freeze({
  violations: Object.freeze([]),
  total: 0,
  unknown: 0,
  unknown_paths: Object.freeze([]),
});
