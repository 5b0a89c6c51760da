/**
 * A receiver of hooks: records the calls that the Standard Webhooks package has verified, and answers as a test says.
 */
import { Webhook } from "standardwebhooks";
import { secretFile } from "../../shared/config/testing/secret_file.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

/** A signing secret for tests. */
export const SECRET = "whsec_" + new Uint8Array(32).fill(7).toBase64();

/** A received call. */
export interface ReceivedCall {
  readonly id: string;
  // deno-lint-ignore no-explicit-any -- the shape depends on the type
  readonly body: any;
}

/** Returns the answer; undefined: 204. */
export type Answering = (call: ReceivedCall) => Response | Promise<Response> | undefined;

/** A receiver on its own port. */
export class Receiver implements AsyncDisposable {
  /** Calls that were answered with 2xx, in order. */
  readonly taken: ReceivedCall[] = [];
  /** All calls. */
  readonly calls: ReceivedCall[] = [];
  readonly problems: unknown[] = [];
  answer: Answering = () => undefined;
  readonly port: number;
  #server: Deno.HttpServer<Deno.NetAddr> | undefined;

  constructor() {
    this.#server = this.#serve(0);
    this.port = this.#server.addr.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook?a=1`;
  }

  /** Closes the port; nobody answers until `start`. */
  async stop(): Promise<void> {
    await this.#server?.shutdown();
    this.#server = undefined;
  }

  start(): void {
    this.#server ??= this.#serve(this.port);
  }

  #serve(port: number): Deno.HttpServer<Deno.NetAddr> {
    return Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, async (request) => {
      const text = await request.text().catch(() => undefined);
      // The caller has disconnected meanwhile.
      if (text === undefined) return new Response(null, { status: 400 });
      try {
        const body = new Webhook(SECRET).verify(text, Object.fromEntries(request.headers));
        const call = { id: request.headers.get("webhook-id") ?? "", body };
        this.calls.push(call);
        const response = await this.answer(call) ?? new Response(null, { status: 204 });
        if (response.ok) this.taken.push(call);
        return response;
      } catch (error) {
        this.problems.push(error);
        return new Response(null, { status: 401 });
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Message numbers of the accepted calls by room, without duplicates. */
export function numbersOf({ taken }: Receiver): Record<string, number[]> {
  const seen = new Map(taken.map(({ id, body }) => [id, body]));
  const messages = [...seen.values()].filter(({ type }) => type === "room.message");
  const by_room = Map.groupBy(messages, ({ data }) => data.room as string);
  const numbers = [...by_room].map(([room, list]) =>
    [room, list.map(({ data }) => data.message.data.n)] as const
  );
  return Object.fromEntries(numbers);
}

/** A hook of the tenant `default` at that receiver, as TOML; `lines` are its other keys. */
export const hookTable = (id: string, url: string, lines: string) => `
[[hooks]]
id = "${id}"
tenant = "default"
url = "${url}"
secret_file = "${secretFile(SECRET)}"
${lines}
`;

const DEADLY = `room = "deadly"
events = []
before = ["publish"]
#constant hooks.before_timeout_ms = 10_000`;

/** A hook that is asked before each publish in the room `deadly`, with the tables it needs. */
export const deadlyHook = (url: string) =>
  `\n[webhooks]\nprivate_hosts = ["127.0.0.1"]\n${hookTable("deadly", url, DEADLY)}`;

const OF_ROOMS = `room = "o-*"
events = ["room.message", "member.joined", "member.left", "room.occupied", "room.vacated"]
#constant webhooks.backoff_ms = 10
#constant webhooks.backoff_max_ms = 200`;

/** The tables of a bus with one hook, which gets everything of rooms `o-*` of the tenant `default`. */
export const hookTables = (url: string) => `
[presence]
#constant presence.heartbeat_ms = 200
#constant presence.down_ms = 2_000
#constant presence.brain_timeout_ms = 900
${durableRooms("o-*", 'membership = "journal"')}
[webhooks]
private_hosts = ["127.0.0.1"]
#constant webhooks.survey_ms = 500
${hookTable("h", url, OF_ROOMS)}`;
