/**
 * Which processes a question waits for: those that have been heard of, and the Shields that are registered as living.
 * Nothing is decided by it. Who asks is `cluster_asker.ts`; the registry of lives is `shared/lives/`.
 */
import type { Env } from "../env.ts";
import type { NodeKind } from "./cluster_question.ts";

/** After how many ms of silence a process is forgotten, if it was asked meanwhile. */
const FORGET_MS = 120_000;
/** Processes that are remembered, and whose answers to one question are taken. */
export const NODES_MAX = 1_024;

/** What the registry says of a Shield. */
export interface RegisteredShield {
  readonly node_id: string;
  /** It is not there any longer: for so long nothing can have been heard of it, in ms. Absent: it is there. */
  readonly over_for_ms?: number;
}

/** Which processes are meant. */
export interface Wanted {
  /** The one process; absent: all. */
  readonly to?: string | undefined;
  /** Only processes of this kind; absent: both kinds. */
  readonly of?: NodeKind | undefined;
}

interface Known {
  readonly kind: NodeKind;
  /** Monotonic ms. */
  heard_ms: number;
}

/** This process. */
export interface KnownNodesOptions extends Pick<Env, "node_id" | "monotonic_ms"> {
  readonly kind: NodeKind;
}

/** The processes that one process knows. */
export class KnownNodes {
  readonly #own: KnownNodesOptions;
  readonly #known = new Map<string, Known>();

  constructor(own: KnownNodesOptions) {
    this.#own = own;
  }

  /** Whether that process has been heard of, or is this one. */
  has(node_id: string): boolean {
    return node_id === this.#own.node_id || this.#known.has(node_id);
  }

  /** It is there. */
  note(node_id: string, kind: NodeKind): void {
    const known = this.#known.get(node_id);
    if (known !== undefined) known.heard_ms = this.#own.monotonic_ms();
    else if (this.#known.size < NODES_MAX) {
      this.#known.set(node_id, { kind, heard_ms: this.#own.monotonic_ms() });
    }
  }

  /** It has said that it ends. */
  delete(node_id: string): void {
    this.#known.delete(node_id);
  }

  /** The processes whose answers are waited for. */
  expected({ to, of }: Wanted): string[] {
    if (to !== undefined) return [to];
    const { node_id, kind } = this.#own;
    const all: [string, NodeKind][] = [[node_id, kind]];
    for (const [id, known] of this.#known) all.push([id, known.kind]);
    return all.filter(([, its_kind]) => (of ?? its_kind) === its_kind).map(([id]) => id);
  }

  /**
   * Takes note of what the registry says. Returns those that are not there any longer: one that was heard of after it
   * was over, under its old name, is kept.
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

  #silent({ heard_ms }: Known): number {
    return this.#own.monotonic_ms() - heard_ms;
  }

  /**
   * Forgets processes that have been silent for long, now that they have been named: they are not
   * waited for again.
   */
  forget(silent: readonly string[]): void {
    for (const id of silent) {
      const known = this.#known.get(id);
      if (known !== undefined && this.#silent(known) > FORGET_MS) this.#known.delete(id);
    }
  }
}
