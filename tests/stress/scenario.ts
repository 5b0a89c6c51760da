/** What a scenario is and what it is given. `scenarios_*.ts` are the scenarios, `run.ts` runs them. */
import type { Random } from "../presence_simulation/random.ts";
import type { Claims, Node, Nodes } from "./node.ts";
import { Peer } from "./peer.ts";

/** One self-checking scenario; it rejects when something is not as it must be. */
export interface Scenario {
  /** As in the list that they come from; see README.md. */
  readonly number: number;
  readonly name: string;
  run(stage: Stage): Promise<void>;
}

/** What one run of a scenario has to itself: names that no other uses, and its own randomness. */
export class Stage {
  readonly nodes: Nodes;
  readonly random: Random;
  readonly #id: string;
  readonly #scale: number;
  readonly #peers: Peer[] = [];

  constructor(nodes: Nodes, id: string, scale: number, random: Random) {
    [this.nodes, this.random] = [nodes, random];
    [this.#id, this.#scale] = [id, scale];
  }

  /** A number of the list, scaled; at least `low`. */
  count(full: number, low = 1): number {
    return Math.max(low, Math.round(full * this.#scale));
  }

  /** A room or user of this run alone; kinds of rooms are `log`, `short`, `cache` and anything else. */
  name(kind: string, index: number | string = 0): string {
    return `${kind}-${this.#id}-${index}`;
  }

  /** A connected client with a user of its own; closed when the scenario is over. */
  async peer(node: Node, more: Partial<Claims> = {}): Promise<Peer> {
    const peer = new Peer(node, { user: this.name("u", this.#peers.length), ...more });
    this.#peers.push(peer);
    await peer.open();
    return peer;
  }

  /** So many of them, on these nodes in turns. */
  peers(nodes: readonly Node[], count: number, more: Partial<Claims> = {}): Promise<Peer[]> {
    const wanted = Array.from({ length: count }, (_, index) => nodes[index % nodes.length]!);
    return Promise.all(wanted.map((node) => this.peer(node, more)));
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#peers.map((peer) => peer.close()));
  }
}

/** `0`, `1`, … so many. */
export function range(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
