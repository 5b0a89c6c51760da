/**
 * Protovalidate rules on a decoded message, compiled once and limited in cost. The structure of the data was checked
 * before.
 */
import {
  create,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { CompilationError, createValidator, type Validator } from "@bufbuild/protovalidate";
import type { Violation as Broken } from "@bufbuild/protovalidate";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { collectRules, countedRegistry, reachable, type RuleInventory } from "./rules_collect.ts";
import { type RuleClock, RuleSteps, THREAD_CLOCK } from "./rules_steps.ts";
import { Findings } from "./validate_findings.ts";
import type { SchemaLimits, Validation } from "./validate_types.ts";

type RuleFindings = Pick<Validation, "violations" | "total">;

/** The rules of one message type. */
export class MessageRules {
  /** The descriptor to decode with; not the given registry's if rules had to be changed. */
  readonly desc: DescMessage;
  readonly registry: FileRegistry;
  /** Estimated bytes in memory, without descriptors. */
  readonly heap_bytes: number;
  readonly #validator: Validator;
  readonly #steps: RuleSteps;
  readonly #counted: RuleInventory["counted"];
  readonly #limits: SchemaLimits;
  /** Whether some message that it reaches has a `float`. */
  readonly #has_floats: boolean;

  /** Compiles the rules. Throws `SchemaError` if protovalidate cannot. */
  constructor(
    registry: FileRegistry,
    desc: DescMessage,
    inventory: RuleInventory,
    limits: SchemaLimits,
    clock: RuleClock,
  ) {
    this.desc = desc;
    this.#has_floats = reachesFloat(desc);
    this.registry = registry;
    this.#counted = inventory.counted;
    this.heap_bytes = inventory.heap_bytes;
    this.#limits = limits;
    this.#steps = new RuleSteps(limits, clock);
    this.#validator = createValidator({ registry, regexMatch: this.#steps.matches });
    this.#steps.begin(0);
    const empty = this.#validator.validate(desc, create(desc));
    if (empty.kind === "error" && empty.error instanceof CompilationError) {
      throw new SchemaError(`the rules of ${desc.typeName}: ${empty.error.message}`);
    }
  }

  /** The steps of all messages so far. */
  get steps(): number {
    return this.#steps.taken;
  }

  /** Checks binary data of valid structure; `undefined` if it violates no rule. */
  judgeBinary(data: Uint8Array, size_bytes: number = data.length): RuleFindings | undefined {
    let message: Message;
    try {
      message = fromBinary(this.desc, data, {
        readUnknownFields: false,
        recursionLimit: this.#limits.depth,
      });
    } catch (error) {
      return this.#one("rule-error", `the data cannot be decoded: ${(error as Error).message}`);
    }
    return this.judge(message, size_bytes);
  }

  /**
   * As `judge`, for a message decoded from JSON. Its floats are doubles and are first rounded to 32 bits, as in the
   * binary form.
   */
  judgeJson(message: Message, size_bytes: number): RuleFindings | undefined {
    if (!this.#has_floats) return this.judge(message, size_bytes);
    return this.judgeBinary(toBinary(this.desc, message), size_bytes);
  }

  /**
   * Checks a message; `undefined` if it violates no rule. `size_bytes` is the size of the data that the message was
   * decoded from.
   */
  judge(message: Message, size_bytes: number): RuleFindings | undefined {
    this.#steps.begin(size_bytes);
    const result = this.#validator.validate(this.desc, message);
    if (this.#steps.exhausted) {
      const { rule_steps, rule_cpu_ms } = this.#limits;
      const most = `${rule_steps} steps or ${rule_cpu_ms} ms of CPU`;
      return this.#one("rule-cost", `the rules take more than ${most} over this message`);
    }
    if (result.kind === "valid") return undefined;
    if (result.kind === "error") {
      return this.#one("rule-error", `a rule cannot be evaluated: ${result.error.message}`);
    }
    const findings = new Findings(this.#limits.violations);
    findings.reset("allow");
    for (const broken of result.violations) {
      if (findings.count()) this.#describe(findings, broken);
    }
    const { violations, total } = findings.result();
    return { violations, total };
  }

  #describe(findings: Findings, broken: Broken): void {
    const rule = this.#counted.get(broken.ruleId) ?? broken.ruleId;
    // Protovalidate quotes the expression of a rule without its own message.
    const quoted = /^"([^]*)" returned false$/.exec(broken.message)?.[1] ?? "";
    const original = this.#counted.get(quoted);
    const message = original === undefined ? broken.message : `"${original}" returned false`;
    const subject = broken.forKey ? "the key: " : "";
    findings.describe(pathToString(broken.field), rule || "cel", subject + message);
  }

  #one(rule: string, message: string): RuleFindings {
    return { violations: [{ path: "", rule, message }], total: 1 };
  }
}

function reachesFloat(desc: DescMessage): boolean {
  return Array.from(reachable(desc)).some(({ fields }) =>
    fields.some(({ scalar }) => scalar === ScalarType.FLOAT)
  );
}

/**
 * Compiles the rules of a message; `undefined` if it reaches none. Throws `SchemaError` for rules that cannot be used.
 */
export function compileRules(
  registry: FileRegistry,
  desc: DescMessage,
  limits: SchemaLimits,
  clock: RuleClock = THREAD_CLOCK,
): MessageRules | undefined {
  const inventory = collectRules(registry, desc, limits);
  if (!inventory.any) return undefined;
  if (inventory.counted.size === 0 && !inventory.has_hosts) {
    return new MessageRules(registry, desc, inventory, limits, clock);
  }
  const counted = countedRegistry(registry);
  const same = counted.getMessage(desc.typeName)!;
  return new MessageRules(counted, same, inventory, limits, clock);
}
