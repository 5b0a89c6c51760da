/**
 * Readers of a room's transparency log on a walk, who remember what they have seen: each checkpoint continues those
 * before it, whichever process serves it, and the SDK verifies every message. Nobody may accuse an honest bus.
 */
import { connect } from "@arqon/sdk";
import { ProofError, VerifiedLog } from "@arqon/sdk/proof";
import { replay } from "@arqon/sdk/history";
import type { Checkpoint } from "@arqon/proto";
import { roomTree } from "../../shared/proof/entry.ts";
import { TreeReader } from "../../shared/proof/reader.ts";
import { pace } from "../../shared/testing/pace.ts";
import { becomes, insist } from "../../shared/testing/until.ts";
import type { TestBus } from "../harness/test_bus.ts";
import type { Stage } from "../model/stage.ts";
import { treeUrl, verifierOf, vkeyOf } from "../proof/served.ts";

/** Begins to read, or goes on. */
export interface ProofOp {
  readonly name: "verify";
}

const LOOK_MS = 500;
/** Of a request, and of all its tries: longer than every fault. */
const ASK_MS = 5_000;
const INSIST_MS = 120_000;

/** The readers of one room. */
export class ProofReaders implements AsyncDisposable {
  readonly #stage: Stage;
  readonly #buses: readonly TestBus[];
  readonly #kept: Checkpoint[] = [];
  readonly #wrong: string[] = [];
  #newest: TreeReader | undefined;
  #turn = 0;
  #has_end = false;
  readonly #over = new AbortController();
  #reading: Promise<unknown> | undefined;

  constructor(stage: Stage, buses: readonly TestBus[]) {
    [this.#stage, this.#buses] = [stage, buses];
  }

  /** Does nothing in a room without such a log. */
  begin(): void {
    if (this.#stage.row.proof === "off") return;
    this.#reading ??= Promise.all(
      [this.#watch(), this.#verify()].map((one) =>
        one.catch(({ message }: Error) => void this.#wrong.push(`its log: ${message}`))
      ),
    );
  }

  get #tree(): string {
    return roomTree(this.#stage.tenant, this.#stage.room);
  }

  #token = ({ tokenFor }: TestBus): Promise<string> =>
    tokenFor({ tenant: this.#stage.tenant, user: "verifier" });

  /** The first answer of any process. */
  #file = (path: string): Promise<Uint8Array> =>
    insist(
      path,
      async () => {
        const bus = this.#buses[this.#turn++ % this.#buses.length]!;
        const headers = { authorization: `Bearer ${await this.#token(bus)}` };
        const signal = AbortSignal.timeout(ASK_MS);
        const answer = await fetch(`${treeUrl(bus, this.#tree)}/${path}`, { headers, signal });
        const bytes = new Uint8Array(await answer.arrayBuffer());
        if (!answer.ok) throw new Error(`${answer.status} ${new TextDecoder().decode(bytes)}`);
        return bytes;
      },
      () => true,
      INSIST_MS,
    );

  /** An older checkpoint may be served, which the newest continues. */
  async #look(): Promise<void> {
    const tree = await TreeReader.open(this.#file, await verifierOf(this.#file));
    const newest = this.#newest;
    if (newest !== undefined && newest.checkpoint.size > tree.checkpoint.size) {
      return void await newest.continues(tree.checkpoint);
    }
    if (newest !== undefined) await tree.continues(newest.checkpoint);
    if (newest?.checkpoint.size !== tree.checkpoint.size) this.#kept.push(tree.checkpoint);
    this.#newest = tree;
  }

  async #watch(): Promise<void> {
    for (; !this.#over.signal.aborted; await pace(LOOK_MS)) await this.#look();
  }

  /** Reads the room from its start, and again after every error but an accusation. */
  async #verify(): Promise<void> {
    const bus = this.#buses.at(-1)!;
    const vkeys = [await vkeyOf(this.#file)];
    const token = () => this.#token(bus);
    let checkpoint: string | undefined;
    const { signal } = this.#over;
    while (!signal.aborted) {
      const log = new VerifiedLog({
        url: treeUrl(bus, this.#tree),
        token,
        vkeys,
        signal,
        wait_ms: INSIST_MS,
        ...(checkpoint === undefined ? {} : { checkpoint }),
      });
      try {
        await using client = await connect({ url: bus.url, token: await token() });
        const begin = replay({ from: "start" });
        const messages = client.room(this.#stage.room).subscribe({ begin, signal });
        for await (const { message_id } of log.verify(messages)) {
          this.#has_end ||= message_id === "m-end";
        }
      } catch (error) {
        if (error instanceof ProofError) throw error;
        await pace(LOOK_MS);
      }
      checkpoint = log.checkpoint ?? checkpoint;
    }
  }

  /** The problems so far. */
  settle(): string[] {
    return this.#wrong.splice(0);
  }

  /** The problems, once the room's end is stored: the last log continues all, and the SDK has verified everything. */
  async end(): Promise<string[]> {
    if (this.#reading === undefined) return [];
    const isOver = () => this.#has_end || this.#wrong.length > 0;
    if (!await becomes(isOver, INSIST_MS)) this.#wrong.push("the SDK does not verify the end");
    await this[Symbol.asyncDispose]();
    if (this.#wrong.length === 0) await this.#look();
    for (const checkpoint of this.#kept) await this.#newest?.continues(checkpoint);
    return this.settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#reading;
  }
}
