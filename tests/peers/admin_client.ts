/** A client of the admin API for tests: one address, one token, JSON. */
import assert from "node:assert/strict";
import {
  isHole,
  type JournalLine,
  type JournalRecord,
  parseLine,
} from "../../shared/journal/record.ts";
import { seen } from "../../shared/testing/until.ts";
import { send } from "./own_connections.ts";

/** The answer. */
export interface AdminAnswer {
  readonly status: number;
  readonly headers: Headers;
  // deno-lint-ignore no-explicit-any -- whatever JSON there is; tests say what they expect
  readonly body: any;
  /** The unparsed body. */
  readonly text: string;
}

/** Sends requests to one admin listener with one token. */
export class AdminClient {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** `body` is sent as JSON; a string as it is. */
  async ask(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<AdminAnswer> {
    const response = await send(this.#url + path, this.#token, method, body, headers);
    const text = await response.text();
    const is_json = /^application\/(problem\+)?json\b/.test(
      response.headers.get("content-type") ?? "",
    );
    const { status } = response;
    return { status, headers: response.headers, body: is_json ? JSON.parse(text) : text, text };
  }

  get(path: string): Promise<AdminAnswer> {
    return this.ask("GET", path);
  }

  /** Retries as long as the answer asks for it, such as while the storage elects a leader. */
  #answer(path: string): Promise<AdminAnswer> {
    const isAnswer = ({ status }: AdminAnswer) => status !== 429 && status !== 503;
    return seen(`${path} is answered`, () => this.get(path), isAnswer);
  }

  /** The body of a 200; fails on any other status. */
  // deno-lint-ignore no-explicit-any -- as above
  async read(path: string): Promise<any> {
    const { status, body } = await this.#answer(path);
    assert.equal(status, 200, `${path}: ${JSON.stringify(body)}`);
    return body;
  }

  /** A tenant's whole journal: one answer reads so many blocks, and blocks are small when the machine is slow. */
  async journal(tenant: string): Promise<JournalLine[]> {
    const lines: JournalLine[] = [];
    for (let [after, is_end] = ["", false]; !is_end;) {
      const { status, text } = await this.#answer(`/v1/journal?tenant=${tenant}${after}`);
      assert.equal(status, 200, text);
      const texts = text.trimEnd().split("\n");
      const end: { next: string; is_end: boolean } = JSON.parse(texts.pop() ?? "");
      for (const line of texts) {
        const parsed = parseLine(line);
        assert("line" in parsed, line);
        lines.push(parsed.line);
      }
      after = `&after=${encodeURIComponent(end.next)}`;
      is_end = end.is_end;
    }
    return lines;
  }

  /**
   * The decisions of a tenant's journal; only what a killed Shield lost may be missing. Nothing is missing at a
   * `clock-set-back` line.
   */
  async decisions(tenant: string): Promise<JournalRecord[]> {
    const lines = await this.journal(tenant);
    const holes = lines.filter(isHole).filter(({ hole: { why } }) =>
      why !== "killed" && why !== "clock-set-back"
    );
    assert.deepEqual(holes, []);
    return lines.filter((line): line is JournalRecord => !isHole(line));
  }

  /** Reads repeatedly until `pick` returns a value. */
  async until<T>(path: string, what: string, pick: (answer: AdminAnswer) => T | undefined) {
    const isFound = (answer: AdminAnswer) => pick(answer) !== undefined;
    return pick(await seen(what, () => this.get(path), isFound)) as T;
  }
}
