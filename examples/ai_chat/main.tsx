/**
 * A chat with a model. Its answers are growing messages: they continue after a reload and on every device, and each
 * device can stop them. `serve.ts` starts the bus and the model, bundles this page and serves it.
 */
import { type FormEvent, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { ArqonProvider, createClient, useConnection, useMessages, useRoom } from "@arqon/react";
import type { Message } from "@arqon/sdk";
import { type Growing, growing, stopStream } from "@arqon/sdk/streams";

/** The development bus stores this room. */
const ROOM = "durable-chat";
/** The page loads this many questions and answers at first, and keeps this many at most. */
const HISTORY = 100, LIMIT = 1_000;

/** The growing answers, also those that have ended and are not in the room's messages yet. */
function useGrowing(): readonly Growing[] {
  const room = useRoom(ROOM);
  const [answers, setAnswers] = useState<readonly Growing[]>([]);
  useEffect(() => {
    const ending = new AbortController();
    const { signal } = ending;
    const receive = async () => {
      await room.use(async (room) => {
        for await (const one of growing(room, { signal })) {
          // The most answers that may grow in a room at once, and the last ended ones.
          setAnswers((before) => [...before.filter(({ id }) => id !== one.id), one].slice(-64));
        }
      });
    };
    receive().catch((error) => signal.aborted || console.error(error));
    return () => ending.abort();
  }, [room]);
  return answers;
}

/** How an answer ended, as text; "" for a complete one. */
const endingOf = (state: string | undefined, reason = "") =>
  state === "stopped" || state === "aborted" ? ` (${state}${reason && `: ${reason}`})` : "";

/** A question, or a complete answer. */
function MessageItem({ message }: { readonly message: Message }) {
  const { "x-arqon-growing": state, "x-arqon-growing-reason": reason } = message.headers;
  return (
    <li className={message.type} data-state={state ?? "finished"}>
      <span>{message.text()}</span>
      <small>{endingOf(state, reason)}</small>
    </li>
  );
}

/** An answer that is still growing. */
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
    // The id lets the SDK repeat the question after a lost connection without asking it twice.
    await publish("question", question, { message_id: crypto.randomUUID() });
  };
  const shown = messages.filter(({ signal, type }) =>
    !signal && (type === "question" || type === "answer")
  );
  return (
    <>
      <ol>
        {shown.map((message) => <MessageItem key={message.id} message={message} />)}
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
