/** A client of the client listener's HTTP API, for tests: real requests, plain answers. */
import { seen } from "../../shared/testing/until.ts";
import { send } from "./own_connections.ts";

/** The answer. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The JSON: an ACK, a problem, or the answer of a batch. */
  // deno-lint-ignore no-explicit-any -- the shape depends on the path
  readonly body: any;
}

/** A client with a token, at one Shield. */
export class HttpPeer {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** `body` is converted to JSON unless it is a string; `path` follows `/v1/`. */
  async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<HttpAnswer> {
    const response = await send(`${this.#url}/v1/${path}`, this.#token, method, body, headers);
    const text = await response.text();
    const answer = text === "" ? undefined : JSON.parse(text);
    return { status: response.status, headers: response.headers, body: answer };
  }

  /** Retries as long as the answer asks for it, such as while the storage elects a leader. */
  get(path: string): Promise<HttpAnswer> {
    const isAnswer = ({ status }: HttpAnswer) => status !== 503;
    return seen(`${path} is answered`, () => this.call("GET", path), isAnswer);
  }

  /** The result of a call that must be accepted. */
  // deno-lint-ignore no-explicit-any -- the shape depends on the path
  async done(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await (method === "GET" ? this.get(path) : this.call(method, path, body));
    if (answer.status !== 200 || answer.body.code !== 0) {
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return answer.body.result;
  }

  /** All stored messages of a room and its epoch; a page is also bounded by bytes. */
  // deno-lint-ignore no-explicit-any -- the shape depends on the room
  async history(room: string): Promise<{ messages: any[]; epoch: string }> {
    const messages: unknown[] = [];
    const limit = `rooms/${room}/messages?limit=1000`;
    for (let after = "";;) {
      const { body } = await this.get(`${limit}${after}`);
      const page = body.result ?? body;
      messages.push(...page.messages);
      if (page.more !== true) return { messages, epoch: page.epoch };
      after = `&after=${page.messages.at(-1).offset}`;
    }
  }

  /** `status reason` of a call that must be refused, with a problem body that says the same. */
  async refused(method: string, path: string, body?: unknown): Promise<string> {
    const { status, headers, body: problem } = await this.call(method, path, body);
    const right = headers.get("content-type") === "application/problem+json" &&
      problem?.status === status && problem.type === `urn:arqon:error:${problem.reason}`;
    if (!right) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(problem)}`);
    return `${status} ${problem.reason}`;
  }
}
