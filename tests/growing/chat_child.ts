/**
 * The program of `growing_chat_test.ts`, in a separate process because the package `ai` reads the host's name when it
 * is loaded: that package's own chat, unchanged, over the bus. The model is a generator in this process. Arguments: the
 * bus's address, a token of the model, a token of the user.
 */
import assert from "node:assert/strict";
import { AbstractChat, type ChatState, type UIMessage } from "ai";
import { connect, type Connection, type Room } from "@arqon/sdk";
import { type ChatQuestion, chatTransport } from "@arqon/sdk/ai";
import { stream } from "@arqon/sdk/streams";
import { until } from "../../shared/testing/until.ts";
import { stored } from "./received.ts";

/** A chat as in a page. */
class Page extends AbstractChat<UIMessage> {
  constructor(bus: Connection, id: string) {
    const state: ChatState<UIMessage> = {
      status: "ready",
      error: undefined,
      messages: [],
      pushMessage: (message) => void (state.messages = [...state.messages, message]),
      popMessage: () => void (state.messages = state.messages.slice(0, -1)),
      replaceMessage: (at, message) => void (state.messages = state.messages.with(at, message)),
      snapshot: (thing) => structuredClone(thing),
    };
    super({ id, state, transport: chatTransport((chat_id) => bus.room(`chat-${chat_id}`)) });
  }

  /** The assistant's last answer. */
  get answer(): string {
    const last = this.messages.at(-1);
    if (last?.role !== "assistant") return "";
    return last.parts.map((part) => part.type === "text" ? part.text : "").join("");
  }
}

/** Answers each question of the room word by word, as fast as the test allows. */
async function model(room: Room, mayGoOn: () => boolean, ended: string[]): Promise<void> {
  const questions = room.subscribe();
  await questions.ready;
  void (async () => {
    for await (const message of questions) {
      if (message.type !== "question") continue;
      const { answer_id: id } = message.json<ChatQuestion>();
      const words = async function* () {
        yield "Once ";
        await until("the test lets it go on", mayGoOn);
        for (const word of ["upon ", "a ", "time"]) yield word;
      };
      void stream(room, words(), { id, type: "answer" }).then(({ outcome }) => ended.push(outcome));
    }
  })().catch(() => {});
}

/** A chat that is stopped before the answer has begun: it ends at once, and the answer when it begins. */
async function stopsEarly(server: Connection, phone: Connection): Promise<void> {
  const page = new Page(phone, "c2");
  using questions = server.room("chat-c2").subscribe();
  await questions.ready;
  const sending = page.sendMessage({ text: "Never mind" });
  const { value } = await questions.next();
  await page.stop();
  await sending;
  assert.equal(page.status, "ready");
  const endless = async function* () {
    yield "Once ";
    await new Promise(() => {});
  };
  const { answer_id: id } = value!.json<ChatQuestion>();
  const { outcome } = await stream(server.room("chat-c2"), endless(), { id, type: "answer" });
  assert.equal(outcome, "stopped");
}

/** Two devices, a reload during an answer, and stop. */
async function run(url: string, model_token: string, user_token: string): Promise<void> {
  await using server = await connect({ url, token: model_token });
  await using phone = await connect({ url, token: user_token });
  await using laptop = await connect({ url, token: user_token });
  let may_go_on = false;
  const ended: string[] = [];
  await model(server.room("chat-c1"), () => may_go_on, ended);

  const page = new Page(phone, "c1");
  const sending = page.sendMessage({ text: "Tell me a story" });
  await until("the answer begins", () => page.answer === "Once ");
  // Another device, and a reloaded page, have the present content.
  const other = new Page(laptop, "c1");
  const resuming = other.resumeStream();
  await until("it has arrived, too", () => other.answer === "Once ");
  may_go_on = true;
  await Promise.all([sending, resuming]);
  assert.equal(page.answer, "Once upon a time");
  assert.equal(other.answer, "Once upon a time");
  assert.equal(page.status, "ready");
  // There is nothing left to resume.
  const third = new Page(laptop, "c1");
  await third.resumeStream();
  assert.equal(third.answer, "");

  may_go_on = false;
  const second = page.sendMessage({ text: "Another one" });
  await until("the answer begins", () => page.answer === "Once ");
  const watching = other.resumeStream();
  await until("it has arrived, too", () => other.answer === "Once ");
  await other.stop();
  await until("the producer is notified", () => ended.length === 2);
  assert.deepEqual(ended, ["finished", "stopped"]);
  await Promise.all([second, watching]);
  assert.equal(page.answer, "Once ");
  const answers = (await stored(phone.room("chat-c1"))).filter(({ type }) => type === "answer");
  assert.deepEqual(answers.map((message) => message.text()), ["Once upon a time", "Once "]);
  assert.equal(answers[1]?.headers["x-arqon-growing"], "stopped");
  may_go_on = true;
  await stopsEarly(server, phone);
}

const [url = "", model_token = "", user_token = ""] = Deno.args;
await run(url, model_token, user_token);
console.log("all of it went well");
