/**
 * How a type is named at a place in a `.proto` file, as short as Protobuf's scoping allows. Knows only names,
 * and not what descriptors hold.
 */
import type { Registry } from "@bufbuild/protobuf";

/** Finds the short names of types in one set of files. */
export class ProtoNames {
  readonly #known = new Set<string>();

  constructor(registry: Registry) {
    for (const { typeName } of registry) {
      for (let name = typeName; name !== ""; name = parentOf(name)) this.#known.add(name);
    }
  }

  /**
   * The full name that Protobuf finds for `written` in `scope`: it stops at the first scope that has the
   * first part.
   */
  #resolve(written: string, scope: string): string | undefined {
    const first = written.split(".", 1)[0] ?? "";
    for (let at = scope;; at = parentOf(at)) {
      const prefix = at === "" ? "" : `${at}.`;
      if (this.#known.has(prefix + first)) return prefix + written;
      if (at === "") return undefined;
    }
  }

  /** The shortest name for `full_name` inside of `scope` (a package or message, or ""). */
  short(full_name: string, scope: string): string {
    const parts = full_name.split(".");
    for (let kept = 1; kept <= parts.length; kept++) {
      const written = parts.slice(-kept).join(".");
      if (this.#resolve(written, scope) === full_name) return written;
    }
    return `.${full_name}`;
  }

  /** The full name, with a leading dot where it would otherwise mean another type. */
  full(full_name: string, scope: string): string {
    // A name without a package may be that of a field, and this class does not know fields.
    const is_plain = full_name.includes(".") && this.#resolve(full_name, scope) === full_name;
    return is_plain ? full_name : `.${full_name}`;
  }
}

function parentOf(name: string): string {
  const dot = name.lastIndexOf(".");
  return dot === -1 ? "" : name.slice(0, dot);
}
