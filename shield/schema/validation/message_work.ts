/**
 * The cost of decoding a message and running the rules of its fields: computed in advance from the number and types of
 * messages and values. A decoder creates every field without presence, even of an empty message, so two bytes may cost
 * as much as a hundred values.
 */
import {
  type DescExtension,
  type DescField,
  type DescMessage,
  getOption,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import {
  field as field_option,
  type FieldRules,
  message as message_option,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { withInner } from "./rules_collect.ts";
import type { SchemaLimits } from "./validate_types.ts";

/** Steps, each about half a microsecond, as measured: of a message, of its fields by their presence, of a rule. */
const MESSAGE = 2;
const MADE_FIELD = 0.5;
const OTHER_FIELD = 0.1;
const RULE = 3;
const EXPRESSION_CHARS_PER_STEP = 8;

const messages = new WeakMap<DescMessage, number>();
const elements = new WeakMap<DescField | DescExtension, number>();

function known<K extends WeakKey>(all: WeakMap<K, number>, key: K, price: (key: K) => number) {
  let steps = all.get(key);
  if (steps === undefined) all.set(key, steps = price(key));
  return steps;
}

/** The cost of rules at each evaluation, without those of elements. */
function rulesSteps(rules: Pick<FieldRules, "cel" | "celExpression">): number {
  let steps = RULE;
  for (const { expression } of rules.cel) {
    steps += RULE + expression.length / EXPRESSION_CHARS_PER_STEP;
  }
  for (const { length } of rules.celExpression) steps += RULE + length / EXPRESSION_CHARS_PER_STEP;
  return steps;
}

/** The fixed steps of one message of this type, without those of its values. */
export const messageSteps = (desc: DescMessage): number =>
  known(messages, desc, () => {
    const { cel, celExpression } = getOption(desc, message_option);
    let steps = MESSAGE + rulesSteps({ cel, celExpression }) - RULE;
    for (const field of desc.fields) {
      const is_made = field.presence === FeatureSet_FieldPresence.IMPLICIT ||
        field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED;
      steps += is_made ? MADE_FIELD : OTHER_FIELD;
      const [own] = rulesOf(field);
      if (own !== undefined) steps += rulesSteps(own);
    }
    return steps;
  });

/** The steps of one value of a field, or of one of its elements. */
export const valueSteps = (field: DescField | DescExtension): number =>
  known(elements, field, () => {
    const [, ...inner] = rulesOf(field);
    return inner.reduce((steps, rules) => steps + rulesSteps(rules), 1);
  });

function rulesOf(field: DescField | DescExtension): FieldRules[] {
  const options = field.proto.options;
  return options === undefined ? [] : Array.from(withInner(getOption(field, field_option)));
}

/** Ends the decoding of a message that costs too much. */
export class TooMuchWork extends Error {
  override readonly name = "TooMuchWork";
}

/** The work of one type's messages; each message has the same limit. */
export class MessageWork {
  /** The steps of all messages so far. */
  taken = 0;
  readonly #most: number;
  #left = 0;

  constructor({ decode_steps }: SchemaLimits) {
    this.#most = decode_steps;
  }

  /** Starts with a message, or with another reading of it. */
  begin(): this {
    this.#left = this.#most;
    return this;
  }

  /** Call it before the work. Throws `TooMuchWork` if the message may not cost that much. */
  spend(steps: number): void {
    this.taken += Math.min(steps, this.#left);
    this.#left -= steps;
    if (this.#left >= 0) return;
    throw new TooMuchWork(`decoding and checking it takes more than ${this.#most} steps`);
  }
}
