/** The result of a validation, and the limits of schemas and of their work. Data only. */

/** The effect of a field outside the schema: none, its name in the result, or a refusal. */
export type UnknownFields = "allow" | "warn" | "refuse";

/** One violation of a schema. */
export interface Violation {
  /**
   * The path of the field, such as `entity[2].vehicle.position.latitude`; "" for the message itself. Of a large message
   * only the first paths have their indices; the others have `[?]`.
   */
  readonly path: string;
  /**
   * `required`, `wire-type`, `utf8`, `truncated`, `varint`, `field-number`, `unknown-field`, `group`,
   * `depth`, `json`, `rule-cost`, `rule-error`, or the id of a protovalidate rule.
   */
  readonly rule: string;
  /** A message for people, without a full stop. */
  readonly message: string;
}

/** The result of a validation; `violations` is empty if the data is valid. */
export interface Validation {
  /** The first violations, at most `SchemaLimits.violations`. */
  readonly violations: readonly Violation[];
  /** The total number of violations; for a long JSON text it is a lower bound. */
  readonly total: number;
  /**
   * The number of fields outside the schema and of values outside a closed enum; counted in every mode, like `total`.
   */
  readonly unknown: number;
  /** The paths of the first unknown fields if they are to be named (`warn`), otherwise empty. */
  readonly unknown_paths: readonly string[];
}

/** Options of a check. */
export interface ValidateOptions {
  readonly unknown_fields: UnknownFields;
}

/** Limits of schemas and of their work. */
export interface SchemaLimits {
  /** The most nested messages, including the outermost one and map entries. */
  readonly depth: number;
  /** The most violations and unknown paths that are named; the others are only counted. */
  readonly violations: number;
  /** The most message types that one message may reach. */
  readonly messages: number;
  /** The most CEL expressions and patterns that one message may reach. */
  readonly expressions: number;
  /** The most UTF-16 units of one CEL expression or pattern. */
  readonly expression_chars: number;
  /** The most steps of CEL macros and pattern matching for one message; each takes about one microsecond. */
  readonly rule_steps: number;
  /**
   * The most steps of creating one message's values and evaluating rules once for each; two take about one microsecond.
   */
  readonly decode_steps: number;
  /** The thread's CPU that the rules may take for one message, as steps differ in what they cost. */
  readonly rule_cpu_ms: number;
}

/** The limits that the Shield uses. */
export const SCHEMA_LIMITS: SchemaLimits = {
  depth: 100,
  violations: 16,
  messages: 10_000,
  expressions: 1_000,
  expression_chars: 4_096,
  rule_steps: 150_000,
  decode_steps: 200_000,
  rule_cpu_ms: 40,
};

/** A result with no findings. It is shared, so that a valid message costs no allocation. */
export const VALID: Validation = Object.freeze({
  violations: Object.freeze([]),
  total: 0,
  unknown: 0,
  unknown_paths: Object.freeze([]),
});
