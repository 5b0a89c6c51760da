/**
 * One version of a schema, as its mapped messages are compiled from it: from the whole set where that
 * is small, otherwise from what was cut out for each message on another thread. So compiling one takes
 * a bounded time, whatever was registered.
 */
import { problemOfCut } from "./set_work.ts";
import { isSmallSet } from "./set_work.ts";
import type { SetWork } from "./set_work.ts";
import { SchemaSource } from "./working_set.ts";

/** The most unpacked bytes of a set that is compiled whole. */
const WHOLE_BYTES = 1_048_576;

/** What cutting needs. */
export interface SourceTools {
  readonly work: Pick<SetWork, "cut">;
  /** `[platform.registry] message_parts`. */
  readonly message_parts: number;
}

/** A gzipped set with the name and number of its version. */
export interface VersionBytes {
  readonly version: number;
  readonly sha256: string;
  readonly bytes: Uint8Array;
}

type Source = SchemaSource | { readonly problem: string };

/** The sources of one version. */
export class VersionSources {
  readonly version: number;
  readonly sha256: string;
  readonly #whole: SchemaSource | undefined;
  readonly #cut: ReadonlyMap<string, Source>;

  private constructor(
    { version, sha256 }: VersionBytes,
    whole: SchemaSource | undefined,
    cut: ReadonlyMap<string, Source>,
  ) {
    this.version = version;
    this.sha256 = sha256;
    this.#whole = whole;
    this.#cut = cut;
  }

  /**
   * Opens a version for these messages. Rejects with `SchemaError` when the bytes are no descriptor
   * set.
   */
  static async open(
    given: VersionBytes,
    type_names: readonly string[],
    { work, message_parts }: SourceTools,
  ): Promise<VersionSources> {
    const { version, sha256, bytes } = given;
    if (isSmallSet(bytes, message_parts, WHOLE_BYTES)) {
      const whole = new SchemaSource(version, sha256, bytes);
      whole.open();
      return new VersionSources(given, whole, new Map());
    }
    const found = await work.cut(bytes, type_names, message_parts);
    const cut = type_names.map((name): [string, Source] => {
      const one = found[name];
      if (one === undefined || "problem" in one) {
        return [name, { problem: problemOfCut(one) ?? "" }];
      }
      return [name, new SchemaSource(version, sha256, one.gzipped)];
    });
    return new VersionSources(given, undefined, new Map(cut));
  }

  /** Whether the sources of these messages are known; a whole set has the sources of all. */
  covers(type_names: Iterable<string>): boolean {
    return this.#whole !== undefined || [...type_names].every((name) => this.#cut.has(name));
  }

  /** The source that a message is compiled from, or why there is none. */
  of(type_name: string): Source {
    return this.#whole ?? this.#cut.get(type_name) ?? { problem: "not loaded yet" };
  }

  /** All sources, each once. */
  *all(): Iterable<SchemaSource> {
    if (this.#whole !== undefined) yield this.#whole;
    for (const source of this.#cut.values()) if (!("problem" in source)) yield source;
  }
}
