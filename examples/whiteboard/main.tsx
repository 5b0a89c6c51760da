/**
 * A whiteboard for everybody with the page open: strokes are messages of a durable room, pointers are its presence,
 * title and "clear" are its state. `serve.ts` starts the bus, bundles this page and serves it.
 */
import { type PointerEvent, StrictMode, useMemo, useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import {
  ArqonProvider,
  createClient,
  useConnection,
  useMessages,
  usePresence,
  useRoomValue,
} from "@arqon/react";
import { type Point, readStroke } from "./stroke.ts";

/** The development bus stores this room. */
const ROOM = "durable-whiteboard";
const COLORS = ["#c2410c", "#15803d", "#1d4ed8", "#7e22ce", "#be185d"];
/** Strokes that are fetched at first, and held at most. */
const HISTORY = 500, LIMIT = 5_000;
/** The least time between two reports of a pointer, in ms. */
const POINTER_MS = 40;

/** The metadata of a member. */
interface Pointer {
  readonly name: string;
  readonly color: string;
  readonly at: Point | null;
}

const own = {
  name: new URLSearchParams(location.search).get("name") ?? `guest ${Date.now() % 1_000}`,
  color: COLORS[Date.now() % COLORS.length]!,
};

/** Where the pointer is, in CSS pixels of the board. */
function pointOf({ currentTarget, clientX, clientY }: PointerEvent): Point {
  const { left, top } = currentTarget.getBoundingClientRect();
  return [Math.round(clientX - left), Math.round(clientY - top)];
}

function Line({ color, points }: { readonly color: string; readonly points: readonly Point[] }) {
  return <polyline stroke={color} points={points.map((point) => point.join()).join(" ")} />;
}

/** Everything that was drawn since the board was cleared. */
function Strokes({ cleared }: { readonly cleared: number }) {
  const { messages } = useMessages(ROOM, { history: HISTORY, limit: LIMIT, type: "stroke" });
  const strokes = useMemo(() =>
    messages.flatMap((message) => {
      const stroke = Number(message.offset) > cleared ? readStroke(message) : undefined;
      return stroke ? [{ ...stroke, id: message.id }] : [];
    }), [messages, cleared]);
  return strokes.map(({ id, ...stroke }) => <Line key={id} {...stroke} />);
}

/** The pointers of others. */
function Pointers() {
  const { others } = usePresence<Pointer | null>(ROOM, { throttle_ms: POINTER_MS });
  return others.map(({ connection_id, meta }) => {
    if (!Array.isArray(meta?.at)) return null;
    const [x, y] = meta.at;
    return (
      <g key={connection_id} className="pointer" transform={`translate(${Number(x)} ${Number(y)})`}>
        <circle r="5" fill={String(meta.color)} />
        <text x="8" y="4">{String(meta.name)}</text>
      </g>
    );
  });
}

function Board({ cleared }: { readonly cleared: number }) {
  const { publish } = useMessages(ROOM, { history: HISTORY, limit: LIMIT, type: "stroke" });
  const { update } = usePresence<Pointer>(ROOM, {
    initial: { ...own, at: null },
    throttle_ms: POINTER_MS,
  });
  const [drawing, setDrawing] = useState<readonly Point[]>([]);
  const pen = useRef<Point[] | undefined>(undefined);
  const begin = (event: PointerEvent) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    pen.current = [pointOf(event)];
  };
  const move = (event: PointerEvent) => {
    const at = pointOf(event);
    update({ ...own, at });
    pen.current?.push(at);
    if (pen.current) setDrawing([...pen.current]);
  };
  const end = async () => {
    const points = pen.current;
    pen.current = undefined;
    // With an id it is repeated when the connection drops, and drawn once.
    const message_id = crypto.randomUUID();
    if (points) await publish("stroke", { color: own.color, points }, { message_id });
    setDrawing([]);
  };
  return (
    <svg
      onPointerDown={begin}
      onPointerMove={move}
      onPointerUp={end}
      onPointerLeave={() => update({ ...own, at: null })}
    >
      <Strokes cleared={cleared} />
      <Line color={own.color} points={drawing} />
      <Pointers />
    </svg>
  );
}

function App() {
  const { state } = useConnection();
  const { others } = usePresence(ROOM, { throttle_ms: POINTER_MS });
  const { messages } = useMessages(ROOM, { history: HISTORY, limit: LIMIT, type: "stroke" });
  const [title, setTitle] = useRoomValue<string>(ROOM, "title", "");
  const [cleared, setCleared] = useRoomValue<number>(ROOM, "cleared", 0);
  return (
    <>
      <header>
        <input
          aria-label="Title"
          placeholder="Untitled"
          value={String(title)}
          onChange={({ target }) => setTitle(target.value)}
        />
        <span id="state">{state}, {others.length + 1} here</span>
        <button type="button" onClick={() => setCleared(Number(messages.at(-1)?.offset ?? 0))}>
          Clear
        </button>
      </header>
      <Board cleared={Number(cleared)} />
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
