/**
 * An auction for everybody with the page open. The room decides: `policies/reducers/sale.ts` has the rules for bids,
 * for the leader and for the end. This page shows the auction and calls the room. The same program also runs here, so
 * that the page shows its own bid before the room has answered.
 */
import { connect } from "@arqon/sdk";
import { optimistic, reduced } from "@arqon/sdk/reducers";
import type { Sale } from "./sale.ts";

const SHOWN_MS = 100;
const query = new URLSearchParams(location.search);
const own = query.get("name") ?? `guest-${Date.now() % 1_000}`;
const find = <Kind extends HTMLElement>(selector: string) =>
  document.querySelector<Kind>(selector)!;

/** Always sets text: data of others must not become HTML. */
function tell(selector: string, text: string): void {
  find(selector).textContent = text;
}

/** The room's values of the lot; a missing value is "". */
type Read = (key: keyof Sale["values"]) => string;

const nameOf = (user: string) => user === own ? "you" : user || "nobody";

function showTime(read: Read): void {
  const closes_ms = Number(read("closes_ms"));
  const left_ms = read("state") === "open" ? Math.max(0, closes_ms - Date.now()) : 0;
  find("#left").dataset["closes"] = String(closes_ms);
  tell("#left", left_ms > 0 ? `${(left_ms / 1_000).toFixed(1)} s left` : "");
}

function show(read: Read): void {
  const state = read("state");
  if (state === "") return tell("#title", "Nothing is offered yet.");
  tell("#title", `${read("title")}, offered by ${nameOf(read("seller"))}`);
  tell("#price", read("price"));
  const verb = state === "open" ? "The highest bid is by" : "Sold to";
  const leader = state === "unsold" ? "Nobody wanted it." : `${verb} ${nameOf(read("bidder"))}.`;
  tell("#leader", leader);
  showTime(read);
}

/** Adds a closed lot to the list of earlier lots. */
function note(read: Read): void {
  const state = read("state");
  if (state !== "sold" && state !== "unsold") return;
  const item = document.createElement("li");
  const end = state === "sold" ? `${read("price")} by ${read("bidder")}` : state;
  item.textContent = `${read("title")}: ${end}`;
  find("#past").append(item);
}

async function bid(): Promise<void> {
  const { url, token } = await (await fetch(`/bus.json?name=${encodeURIComponent(own)}`)).json();
  const module = await (await fetch("/sale.wasm")).arrayBuffer();
  const bus = await connect({ url, token });
  const room = reduced<Sale>(bus.room(query.get("room") ?? "sale-1"));
  // The values of the room, with the page's own calls applied until the room has answered them.
  const sale = await optimistic(room, { module, user: own });
  const read: Read = (key) => String(sale.read(key) ?? "");
  sale.changed((changes) => {
    if (changes.has("state")) note(read);
    show(read);
  });
  show(read);
  setInterval(() => showTime(read), SHOWN_MS);
  const ask = (selector: string, call: (data: FormData) => Promise<unknown>) => {
    const form = find<HTMLFormElement>(selector);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      tell("#note", "");
      call(new FormData(form)).catch((error) => tell("#note", String(error.message)));
    });
  };
  ask("#bid", (data) => sale.call("bid", { amount: Number(data.get("amount")) }));
  ask("#offer", (data) =>
    sale.call("offer", {
      title: String(data.get("title")),
      price: Number(data.get("price")),
      seconds: Number(data.get("seconds")),
    }));
  await sale.watched.ended;
}

tell("#name", own);
bid().catch((error) => tell("#note", String(error)));
