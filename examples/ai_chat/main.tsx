/**
 * A chat with a model whose answers are messages that grow: they go on after a reload and on every device, and are
 * stopped from any. `serve.ts` starts the bus and the model, and bundles and serves this.
 */
import { StrictMode, useEffect, useState } from "react";
import type { FormEvent } from "react";
import { createRoot } from "react-dom/client";
import { ArqonProvider, createClient, useConnection, useMessages, useRoom } from "@arqon/react";
import type { Message } from "@arqon/sdk";
import { growing, stopStream } from "@arqon/sdk/streams";
import type { Growing } from "@arqon/sdk/streams";

/** A room that the development bus keeps. */
const ROOM = "durable-chat";
/** Questions and answers that are fetched at first, and held at most. */
const HISTORY = 100, LIMIT = 1_000;

/** The answers that are being written, also those that have ended and are not in the room's messages yet. */
function useGrowing(): readonly Growing[] {
  const room = useRoom(ROOM);
  const [answers, setAnswers] = useState<readonly Growing[]>([]);
  useEffect(() => {
    const ending = new AbortController();
    const { signal } = ending;
    const hear = async () => {
      await room.use(async (room) => {
        for await (const one of growing(room, { signal })) {
          // As many as may grow in a room at once, and the last that have ended.
          setAnswers((before) => [...before.filter(({ id }) => id !== one.id), one].slice(-64));
        }
      });
    };
    hear().catch((error) => signal.aborted || console.error(error));
    return () => ending.abort();
  }, [room]);
  return answers;
}

/** How an answer ended, for people; "" for one that is whole. */
const endingOf = (state: string | undefined, reason = "") =>
  state === "stopped" || state === "aborted" ? ` (${state}${reason && `: ${reason}`})` : "";

/** A question, or an answer that is whole. */
function Said({ message }: { readonly message: Message }) {
  const { "x-arqon-growing": state, "x-arqon-growing-reason": reason } = message.headers;
  return (
    <li className={message.type} data-state={state ?? "finished"}>
      <span>{message.text()}</span>
      <small>{endingOf(state, reason)}</small>
    </li>
  );
}

/** An answer that is being written. */
function Writing({ answer: { id, text, state, reason } }: { readonly answer: Growing }) {
  const room = useRoom(ROOM);
  const stop = () => room.use((room) => stopStream(room, id, "by its reader"));
  return (
    <li className="answer" data-state={state}>
      <span>{text}</span>
      <small>{endingOf(state, reason)}</small>
      {state === "growing" && <button type="button" onClick={stop}>Stop</button>}
    </li>
  );
}

function App() {
  const { state } = useConnection();
  const { messages, publish } = useMessages(ROOM, { history: HISTORY, limit: LIMIT });
  const [question, setQuestion] = useState("");
  const answers = useGrowing();
  const isWhole = ({ id }: Growing) =>
    messages.some(({ message_id }) => message_id.startsWith(`growing:${id}:`));
  const ask = async (event: FormEvent) => {
    event.preventDefault();
    setQuestion("");
    // With an id it is repeated when the connection drops, and asked once.
    await publish("question", question, { message_id: crypto.randomUUID() });
  };
  const shown = messages.filter(({ signal, type }) =>
    !signal && (type === "question" || type === "answer")
  );
  return (
    <>
      <ol>
        {shown.map((message) => <Said key={message.id} message={message} />)}
        {answers.filter((one) => !isWhole(one)).map((one) => <Writing key={one.id} answer={one} />)}
      </ol>
      <form onSubmit={ask}>
        <input
          aria-label="Question"
          placeholder="Tell me a story, or: count to 100"
          value={question}
          onChange={({ target }) => setQuestion(target.value)}
        />
        <button type="submit" disabled={question === ""}>Ask</button>
        <span id="state">{state}</span>
      </form>
    </>
  );
}

const { url, token } = await (await fetch("/bus.json")).json() as { url: string; token: string };
const client = createClient({ url, token });
createRoot(document.querySelector("#app")!).render(
  <StrictMode>
    <ArqonProvider client={client}>
      <App />
    </ArqonProvider>
  </StrictMode>,
);
