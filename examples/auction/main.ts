/**
 * An auction for everybody who has the page open. The room decides: `policies/reducers/sale.ts` says what a bid is, who
 * leads and when it is over. This shows it, and asks it for things.
 */
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";

/** The lot, as the room tells it. */
interface Lot {
  readonly lot: number;
  readonly state: "open" | "sold" | "unsold" | null;
  readonly title: string | null;
  readonly seller: string | null;
  readonly price: number;
  readonly bidder: string | null;
  readonly closes_ms: number;
}

/** What the room is asked, and answers. */
type SaleCalls = {
  readonly look: readonly [undefined, Lot];
  readonly offer: readonly [
    { readonly title: string; readonly price: number; readonly seconds: number },
    null,
  ];
  readonly bid: readonly [string, null];
};

const SHOWN_MS = 100;
const query = new URLSearchParams(location.search);
const own = query.get("name") ?? `guest-${Date.now() % 1_000}`;
const find = <Kind extends HTMLElement>(selector: string) =>
  document.querySelector<Kind>(selector)!;
let lot: Lot | undefined;

/** Always as text: what others say is no HTML. */
function tell(selector: string, text: string): void {
  find(selector).textContent = text;
}

const nameOf = (user: string | null) => user === own ? "you" : user || "nobody";

function showTime(): void {
  const left_ms = lot?.state === "open" ? Math.max(0, lot.closes_ms - Date.now()) : 0;
  find("#left").dataset["closes"] = String(lot?.closes_ms ?? "");
  tell("#left", left_ms > 0 ? `${(left_ms / 1_000).toFixed(1)} s left` : "");
}

function show(): void {
  if (lot?.state == null) return tell("#title", "Nothing is offered yet.");
  const { title, seller, price, bidder, state } = lot;
  tell("#title", `${title}, offered by ${nameOf(seller)}`);
  tell("#price", String(price));
  const verb = state === "open" ? "The highest bid is by" : "Sold to";
  tell("#leader", state === "unsold" ? "Nobody wanted it." : `${verb} ${nameOf(bidder)}.`);
  showTime();
}

/** A lot that is over joins the list of those before. */
function note({ state, title, price, bidder }: Lot): void {
  if (state === "open") return;
  const item = document.createElement("li");
  item.textContent = state === "sold" ? `${title}: ${price} by ${bidder}` : `${title}: unsold`;
  find("#past").append(item);
}

async function bid(): Promise<void> {
  const { url, token } = await (await fetch(`/bus.json?name=${encodeURIComponent(own)}`)).json();
  const bus = await connect({ url, token });
  const room = bus.room(query.get("room") ?? "sale-1");
  const sale = reduced<SaleCalls>(room);
  // Entries of the room up to this one are in what it has answered.
  let seen = Infinity;
  const look = async () => {
    const { entry, answer } = await sale.call("look");
    [seen, lot] = [entry, answer];
    show();
  };
  const waiting: { readonly entry: number; readonly lot: Lot }[] = [];
  const take = () => {
    for (const one of waiting.splice(0)) {
      if (one.entry <= seen) continue;
      lot = one.lot;
      note(lot);
    }
    show();
  };
  const listener = room.listen((message) => {
    // Something is missing here, for example after days offline: the room says how it is now.
    if (message.signal !== undefined) return look().then(take);
    if (message.type !== "lot") return;
    waiting.push({ entry: Number(message.message_id.split(".")[0]), lot: message.json() as Lot });
    if (seen < Infinity) take();
  });
  await listener.ready;
  await look();
  take();
  const ask = (selector: string, call: (data: FormData) => Promise<unknown>) => {
    const form = find<HTMLFormElement>(selector);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      tell("#note", "");
      call(new FormData(form)).catch((error) => tell("#note", String(error.message)));
    });
  };
  ask("#bid", (data) => sale.call("bid", String(data.get("amount"))));
  ask("#offer", (data) =>
    sale.call("offer", {
      title: String(data.get("title")),
      price: Number(data.get("price")),
      seconds: Number(data.get("seconds")),
    }));
}

tell("#name", own);
setInterval(showTime, SHOWN_MS);
bid().catch((error) => tell("#note", String(error)));
