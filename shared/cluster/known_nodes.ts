/**
 * The processes whose answers a question waits for: those that have sent a message, and the Shields registered as
 * alive. Nothing is decided by it. `cluster_asker.ts` asks; `shared/lives/` has the registry.
 */
import type { Env } from "../env.ts";
import type { NodeKind } from "./cluster_question.ts";

/** A process that was asked and has been silent for this long is forgotten, in ms. */
const FORGET_MS = 120_000;
/** The most processes that are remembered, and whose answers to one question are accepted. */
export const NODES_MAX = 1_024;

/** A registered Shield. */
export interface RegisteredShield {
  readonly node_id: string;
  /** Set for a Shield that is gone: time in ms in which it cannot have sent anything. Absent: it is alive. */
  readonly over_for_ms?: number;
}

/** Selects processes. */
export interface Wanted {
  /** The one process; absent: all. */
  readonly to?: string | undefined;
  /** Only processes of this kind; absent: both kinds. */
  readonly of?: NodeKind | undefined;
}

interface Known {
  readonly kind: NodeKind;
  /** Monotonic ms. */
  seen_ms: number;
}

/** This process. */
interface KnownNodesOptions extends Pick<Env, "node_id" | "monotonic_ms"> {
  readonly kind: NodeKind;
}

/** The processes that this process knows. */
export class KnownNodes {
  readonly #own: KnownNodesOptions;
  readonly #known = new Map<string, Known>();

  constructor(own: KnownNodesOptions) {
    this.#own = own;
  }

  /** Whether that process has sent a message, or is this one. */
  has(node_id: string): boolean {
    return node_id === this.#own.node_id || this.#known.has(node_id);
  }

  note(node_id: string, kind: NodeKind): void {
    const known = this.#known.get(node_id);
    if (known !== undefined) known.seen_ms = this.#own.monotonic_ms();
    else if (this.#known.size < NODES_MAX) {
      this.#known.set(node_id, { kind, seen_ms: this.#own.monotonic_ms() });
    }
  }

  /** It has announced its end. */
  delete(node_id: string): void {
    this.#known.delete(node_id);
  }

  /** The processes whose answers are awaited. */
  expected({ to, of }: Wanted): string[] {
    if (to !== undefined) return [to];
    const { node_id, kind } = this.#own;
    const all: [string, NodeKind][] = [[node_id, kind]];
    for (const [id, known] of this.#known) all.push([id, known.kind]);
    return all.filter(([, its_kind]) => (of ?? its_kind) === its_kind).map(([id]) => id);
  }

  /**
   * Applies the registry. Returns the Shields that are gone; one that sent a message under its old name after its end
   * is kept.
   */
  register(shields: readonly RegisteredShield[]): ReadonlySet<string> {
    const gone = new Set<string>();
    for (const { node_id, over_for_ms } of shields) {
      const known = this.#known.get(node_id);
      if (node_id === this.#own.node_id) continue;
      if (over_for_ms === undefined) {
        if (known === undefined) this.note(node_id, "shield");
      } else if (known !== undefined && this.#silent(known) >= over_for_ms) {
        this.#known.delete(node_id);
        gone.add(node_id);
      }
    }
    return gone;
  }

  #silent({ seen_ms }: Known): number {
    return this.#own.monotonic_ms() - seen_ms;
  }

  /** Forgets processes that have been silent for long, after they were reported: they are not awaited again. */
  forget(silent: readonly string[]): void {
    for (const id of silent) {
      const known = this.#known.get(id);
      if (known !== undefined && this.#silent(known) > FORGET_MS) this.#known.delete(id);
    }
  }
}
