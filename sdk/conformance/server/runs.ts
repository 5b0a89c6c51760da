/** One run of a scenario: the actions of each connection, and the failed steps. */
import type { Socket } from "node:net";
import type { Plain } from "../plain.ts";
import { EventStreamPeer } from "./event_stream.ts";
import { answer, type ByteReader, type HttpAnswer, type HttpRequest } from "./http.ts";
import { plainClientFrame } from "./plain_frames.ts";
import { Inbox, Player } from "./play.ts";
import type { Scenario } from "./script.ts";
import { WebSocketPeer } from "./websocket.ts";

/** The most failures that a run keeps: further ones repeat. */
const FAILURES_MAX = 8;

/** The actions of one client connection. */
interface Attempt {
  readonly token: string;
  readonly refused: number | undefined;
  readonly inbox: Inbox;
  /** The connection that receives batches. */
  stream?: EventStreamPeer;
}

/** The answer of `GET /runs/{id}`. */
export interface RunReport {
  readonly scenario: string;
  /** Whether every script has been played to its end. */
  readonly fulfilled: boolean;
  /** The failed steps. */
  readonly failures: readonly string[];
  readonly connections: readonly {
    readonly token: string;
    /** The HTTP status of a refused connection. */
    readonly refused?: number;
    readonly frames: readonly Plain[];
  }[];
}

function tokenOf({ headers }: HttpRequest): string {
  const offered = (headers.get("sec-websocket-protocol") ?? "").split(/,\s*/);
  const item = offered.find((protocol) => protocol.startsWith("arqon.token."));
  const header = headers.get("authorization")?.replace(/^Bearer /, "");
  return header ?? item?.slice("arqon.token.".length) ?? "";
}

/** A running scenario. */
export class Run {
  readonly #scenario: Scenario;
  readonly #attempts: Attempt[] = [];
  readonly #failures: string[] = [];
  readonly #signals = new Map<string, PromiseWithResolvers<void>>();
  readonly #over = Promise.withResolvers<void>();
  #played = 0;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#checkOver();
  }

  /** Resolves when every script has been played, or one has failed. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Records the client's signal with this name. */
  signal(name: string): void {
    this.#signalOf(name).resolve();
  }

  /** The answer of `/v1/auth/check`, equal to the last connection's. */
  get check(): HttpAnswer {
    const script = this.#scenario.server.connections[this.#attempts.length - 1];
    const [refusal] = script ?? [];
    return refusal !== undefined && "refuse" in refusal
      ? refusalOf(refusal)
      : { status: 200, body: {} };
  }

  /** A batch of a connection over HTTP. */
  takeBatch(index: number, request: HttpRequest): HttpAnswer {
    const stream = this.#attempts[index]?.stream;
    if (stream === undefined) return { status: 404, body: { reason: "not-found" } };
    return stream.take(tokenOf(request), request.body);
  }

  /** Handles a new connection: refuses it or plays the next script; resolves at its end. */
  async accept(socket: Socket, reader: ByteReader, request: HttpRequest): Promise<void> {
    const index = this.#attempts.length;
    const script = this.#scenario.server.connections[index];
    const inbox = new Inbox();
    const refusal = script === undefined
      ? { refuse: 500 }
      : script.find((step) => "refuse" in step);
    const refused = refusal?.refuse as number | undefined;
    const attempt: Attempt = { token: tokenOf(request), refused, inbox };
    this.#attempts.push(attempt);
    this.signal(`connection ${index}`);
    if (script === undefined) this.#fail(`connection ${index} came, for which there is no script`);
    if (refusal !== undefined) {
      this.#played += 1;
      answer(socket, refusalOf(refusal));
      return this.#checkOver();
    }
    const path = `/v1/connections/${index}?node=scripted`;
    const peer = request.headers.has("upgrade")
      ? new WebSocketPeer(socket, reader, request)
      : attempt.stream = new EventStreamPeer(socket, reader, path, attempt.token);
    const listening = (async () => {
      for await (const incoming of peer.incoming()) inbox.add(plainClientFrame(incoming));
    })();
    try {
      const player = new Player(peer, inbox, index, (name) => this.#signalOf(name).promise);
      await player.play(script ?? []);
      this.#played += 1;
      this.#checkOver();
    } catch (error) {
      this.#fail((error as Error).message);
      peer.cut("end");
    }
    await listening;
  }

  /** The report; after the end of all scripts unexpected frames are failures. */
  report(): RunReport {
    const unread = this.#attempts.flatMap(({ inbox }, index) =>
      inbox.unread.filter(({ kind }) => kind !== "end").map((frame) =>
        `connection ${index}: nobody expected ${JSON.stringify(frame)}`
      )
    );
    const missing = this.#scenario.server.connections.length - this.#attempts.length;
    return {
      scenario: this.#scenario.name,
      fulfilled: this.#played >= this.#scenario.server.connections.length,
      failures: [
        ...this.#failures,
        ...unread,
        ...missing > 0 ? [`${missing} more connections were expected`] : [],
      ],
      connections: this.#attempts.map(({ token, refused, inbox }) => ({
        token,
        ...refused === undefined ? {} : { refused },
        frames: inbox.frames,
      })),
    };
  }

  #fail(what: string): void {
    if (this.#failures.length < FAILURES_MAX) this.#failures.push(what);
    this.#over.resolve();
  }

  #checkOver(): void {
    if (this.#played >= this.#scenario.server.connections.length) this.#over.resolve();
  }

  #signalOf(name: string): PromiseWithResolvers<void> {
    const known = this.#signals.get(name) ?? Promise.withResolvers<void>();
    this.#signals.set(name, known);
    return known;
  }
}

function refusalOf({ refuse, headers, body }: Plain): HttpAnswer {
  return {
    status: refuse as number,
    headers: (headers ?? {}) as Record<string, string>,
    body: body ?? {},
  };
}
