/** The findings of one validation: the first violations with their text, the others as a count. */
import { type UnknownFields, VALID, type Validation, type Violation } from "./validate_types.ts";
import { clipPath } from "./validate_path.ts";

const MESSAGE_CHARS = 512;

/** Collects what one validation finds. It is reused, so call `reset` first. */
export class Findings {
  total = 0;
  unknown = 0;
  readonly #most: number;
  mode: UnknownFields = "allow";
  #violations: Violation[] = [];
  #unknown_paths: string[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  reset(mode: UnknownFields): void {
    this.total = 0;
    this.unknown = 0;
    this.mode = mode;
  }

  /** Counts a violation; returns whether to describe it with `describe`. */
  count(): boolean {
    if (this.total === 0) this.#violations = [];
    return ++this.total <= this.#most;
  }

  describe(path: string, rule: string, message: string): void {
    const text = message.length > MESSAGE_CHARS ? `${message.slice(0, MESSAGE_CHARS)}…` : message;
    this.#violations.push({ path: clipPath(path), rule, message: text });
  }

  /** Counts an unknown field; returns whether to name it with `nameUnknown`. */
  countUnknown(): boolean {
    if (this.unknown++ === 0) this.#unknown_paths = [];
    if (this.mode === "refuse") return this.count();
    return this.mode === "warn" && this.unknown <= this.#most;
  }

  nameUnknown(path: string, message: string): void {
    if (this.mode === "refuse") this.describe(path, "unknown-field", message);
    else this.#unknown_paths.push(clipPath(path));
  }

  result(): Validation {
    if (this.total === 0 && this.unknown === 0) return VALID;
    return {
      violations: this.total === 0 ? VALID.violations : this.#violations,
      total: this.total,
      unknown: this.unknown,
      unknown_paths: this.mode === "warn" && this.unknown > 0
        ? this.#unknown_paths
        : VALID.unknown_paths,
    };
  }
}
