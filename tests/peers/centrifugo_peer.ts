/** A client of Centrifugo's protocol in JSON that sends what no library would. */
import { found, until } from "../../shared/testing/until.ts";
import type { TestBus } from "../harness/test_bus.ts";

/** A message from the Shield. */
// deno-lint-ignore no-explicit-any -- A peer's message may have any form; the test checks it.
export type Reply = any;

/** A socket, with all messages that it has received. */
export class CentrifugoPeer {
  readonly received: Reply[] = [];
  closed: CloseEvent | undefined;
  readonly opened: Promise<unknown>;
  readonly #socket: WebSocket;

  constructor(bus: Pick<TestBus, "url">, protocols: string[] = []) {
    this.#socket = new WebSocket(new URL("/connection/websocket", bus.url), protocols);
    this.opened = new Promise((resolve) => this.#socket.onopen = resolve);
    this.#socket.onmessage = ({ data }) => void this.received.push(JSON.parse(data));
    this.#socket.onclose = (event) => this.closed = event;
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  send(...commands: unknown[]): void {
    const lines = commands.map((one) => typeof one === "string" ? one : JSON.stringify(one));
    this.#socket.send(lines.join("\n"));
  }

  sendBytes(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(bytes);
  }

  async next(is: (reply: Reply) => boolean): Promise<Reply> {
    return await found(
      () => `received ${JSON.stringify(this.received)}`,
      () => this.received.find(is),
    );
  }

  reply(id: number): Promise<Reply> {
    return this.next((reply) => reply.id === id);
  }

  async end(): Promise<[number, string]> {
    await until(`an end: ${JSON.stringify(this.received)}`, () => this.closed !== undefined);
    return [this.closed?.code ?? 0, this.closed?.reason ?? ""];
  }

  close(): void {
    this.#socket.close();
  }
}

/** Opens a socket that has sent nothing yet. */
export async function openRaw(
  bus: Pick<TestBus, "url">,
  protocols?: string[],
): Promise<CentrifugoPeer> {
  const client = new CentrifugoPeer(bus, protocols);
  await client.opened;
  return client;
}
