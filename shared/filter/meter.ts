/**
 * Bounds what a filter may cost over one message, since CEL has no bound of its own. A step is what at most half a
 * microsecond is needed for: a node of the expression, or a part of what a function does with its operands. Prices are
 * those of the worst operands that were found.
 */
import { isCelList, isCelMap } from "@bufbuild/cel";
import type { CelEnv } from "@bufbuild/cel";
import { isReflectMessage } from "@bufbuild/protobuf/reflect";

/** What a filter costs that looks at nothing. */
const CALL_STEPS = 2;
/** What functions of time cost: those with a time zone ask the tables of zones. */
const ZONE_STEPS = 150;
const TIME_STEPS = 20;
/** Characters or bytes that a step pays for, of functions that take them one by one, and of those that compare. */
const SLOW_CHARS = 64;
const QUICK_CHARS = 512;
/** Pairs of a text's and a needle's characters that a step of `contains` pays for. */
const PAIRS_PER_STEP = 4_096;
/** Bytes of a message, of which a part is compared as a whole, that a step pays for. */
const BYTES_PER_STEP = 8;
/** Pairs of digits that a step pays for when a text is read as a number. */
const DIGITS_PER_STEP = 262_144;

/** Functions that look at no character twice, by the engine's own code. */
const QUICK = new Set([
  ...["_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "@in", "startsWith", "endsWith"],
]);
const COMPARING = new Set(["_==_", "_!=_", "@in"]);
const READING = new Set(["int", "uint"]);

/** Counts the steps of one filter over one message at a time. */
export class Meter {
  /** True when the filter took more than it may; what it said since then counts for nothing. */
  is_exhausted = false;
  /** The steps that it has not taken. Below zero: what it took beyond. */
  left = 0;
  #nodes = 0;
  #size_bytes = 0;
  readonly spend = (steps: number): boolean => {
    this.left -= steps;
    if (this.left < 0) this.is_exhausted = true;
    return !this.is_exhausted;
  };

  /**
   * Begins with a message of a size. `nodes` are those of the whole expression, which each turn of a loop takes again
   * at most. False: that is too many already.
   */
  begin(steps: number, nodes: number, size_bytes: number): boolean {
    this.left = steps;
    this.#nodes = nodes;
    this.#size_bytes = size_bytes;
    this.is_exhausted = false;
    return this.spend(CALL_STEPS + nodes);
  }

  /** Counts one turn of a loop; false ends it. */
  turn(): boolean {
    return this.spend(this.#nodes);
  }

  /** An environment with the same functions, each of which is paid for before it is called. */
  metered(env: CelEnv): CelEnv {
    const groups = new Map<string, unknown>();
    const find = (name: string) => {
      if (!groups.has(name)) groups.set(name, this.#paid(name, env.funcs.find(name)));
      return groups.get(name);
    };
    return Object.create(env, { funcs: { value: { find } } });
  }

  #paid(name: string, group: ReturnType<CelEnv["funcs"]["find"]>): unknown {
    if (group === undefined) return undefined;
    const call = (id: number, target: unknown, operands: unknown[]) => {
      const all = target === undefined ? operands : [target, ...operands];
      if (!this.spend(this.#price(name, all))) throw new Error("too many steps");
      return group.call(id, target as never, operands as never);
    };
    return { name, call };
  }

  #price(name: string, operands: readonly unknown[]): number {
    const [first, second] = operands;
    let steps = fixedPrice(name, operands.length);
    if (name === "contains") {
      if (typeof first !== "string" || typeof second !== "string") return steps;
      const pairs = first.length * second.length;
      return Math.floor(steps + pairs / PAIRS_PER_STEP + first.length / SLOW_CHARS);
    }
    if (READING.has(name) && typeof first === "string") {
      steps += first.length ** 2 / DIGITS_PER_STEP;
    }
    const is_deep = COMPARING.has(name);
    for (const operand of operands) {
      // Nothing beyond the budget is bought: deep values are read no further than the steps reach.
      if (steps > this.left) break;
      steps += this.#weight(
        operand,
        QUICK.has(name) ? QUICK_CHARS : SLOW_CHARS,
        is_deep,
        this.left - steps,
      );
    }
    return Math.floor(steps);
  }

  /** What it costs to go through an operand once; `is_deep`: with all that is in it. It stops above `most`. */
  #weight(value: unknown, chars_per_step: number, is_deep: boolean, most: number): number {
    if (typeof value === "string" || value instanceof Uint8Array) {
      return value.length / chars_per_step;
    }
    if (typeof value !== "object" || value === null) return 0;
    let weight = 0;
    if (isCelList(value)) {
      if (!is_deep) return value.size / 16;
      for (const item of value) {
        weight += 0.5 + this.#weight(item, chars_per_step, true, most - weight);
        if (weight > most) break;
      }
    } else if (isCelMap(value)) {
      if (!is_deep) return value.size / 4;
      for (const [key, item] of value) {
        weight += 1 + this.#weight(key, chars_per_step, false, most) +
          this.#weight(item, chars_per_step, true, most - weight);
        if (weight > most) break;
      }
    } else if (is_deep && isReflectMessage(value) && !isSmall(value.desc.typeName)) {
      return this.#size_bytes / BYTES_PER_STEP;
    }
    return weight;
  }
}

/** Timestamps, durations and wrappers. */
function isSmall(type_name: string): boolean {
  return type_name.startsWith("google.protobuf.") && !type_name.endsWith("Any");
}

function fixedPrice(name: string, operands: number): number {
  if (name.startsWith("get")) return operands > 1 ? ZONE_STEPS : TIME_STEPS;
  return name === "timestamp" || name === "duration" ? TIME_STEPS : 0;
}
