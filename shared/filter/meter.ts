/**
 * Limits the cost of a filter on one message, since CEL has no limit of its own. A step is half a microsecond at most:
 * a node of the expression, or a part of a function's work on its operands. Prices are for the worst operands found.
 */
import { celList, isCelList, isCelMap } from "@bufbuild/cel";
import type { CelEnv, CelValue } from "@bufbuild/cel";
import { isReflectMessage } from "@bufbuild/protobuf/reflect";
import { RANGE } from "./syntax.ts";

/** The price of a filter that reads nothing. */
const CALL_STEPS = 2;
/** The prices of time functions: those with a time zone read the tables of zones. */
const ZONE_STEPS = 150;
const TIME_STEPS = 20;
/** Characters or bytes per step: for functions that take them one by one, and for comparing ones. */
const SLOW_CHARS = 64;
const QUICK_CHARS = 512;
/** Pairs of a text's and a needle's characters per step of `contains`. */
const PAIRS_PER_STEP = 4_096;
/** Bytes per step of a message, when a part is compared as a whole. */
const BYTES_PER_STEP = 8;
/** Pairs of digits per step when a text is parsed as a number. */
const DIGITS_PER_STEP = 262_144;

/** Linear functions, which the engine's own code runs. */
const QUICK = new Set([
  ...["_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "@in", "startsWith", "endsWith"],
]);
const COMPARING = new Set(["_==_", "_!=_", "@in"]);
const READING = new Set(["int", "uint"]);

/** Counts the steps of one filter on one message at a time. */
export class Meter {
  /** True once the filter exceeded its limit; its result then does not count. */
  is_exhausted = false;
  /** The remaining steps. Below zero: the excess. */
  left = 0;
  #nodes = 0;
  #size_bytes = 0;
  readonly spend = (steps: number): boolean => {
    this.left -= steps;
    if (this.left < 0) this.is_exhausted = true;
    return !this.is_exhausted;
  };

  /**
   * Starts with a message of a size. `nodes` are those of the whole expression, which each iteration of a loop runs
   * again at most. False: that is too many already.
   */
  begin(steps: number, nodes: number, size_bytes: number): boolean {
    this.left = steps;
    this.#nodes = nodes;
    this.#size_bytes = size_bytes;
    this.is_exhausted = false;
    return this.spend(CALL_STEPS + nodes);
  }

  /** Counts one iteration of a loop; false ends it. */
  turn(): boolean {
    return this.spend(this.#nodes);
  }

  /**
   * The items of a loop's list, or the keys of its map, one more than it can pay turns for: the engine copies all of
   * them before the first turn.
   */
  range(all: CelValue): CelValue {
    const most = Math.floor(Math.max(this.left, 0) / this.#nodes) + 1;
    if (isCelMap(all)) return celList([...Iterator.from(all.keys()).take(most)]);
    if (!isCelList(all) || all.size <= most) return all;
    return celList([...Iterator.from(all).take(most)]);
  }

  /** An environment with the same functions, each paid for before it is called. */
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
    if (name === RANGE) return 0;
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
      // Nothing beyond the budget is paid: deep values are read no further than the steps reach.
      if (steps > this.left) break;
      steps += this.#weight(
        operand,
        QUICK.has(name) ? QUICK_CHARS : SLOW_CHARS,
        is_deep,
        this.left - steps,
      );
    }
    // What is read no further than the steps reach must not run.
    return Math.floor(steps) + (steps > this.left ? 1 : 0);
  }

  /** The cost of reading an operand once; `is_deep`: with everything inside. It stops above `most`. */
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
