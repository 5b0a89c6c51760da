/** Renders the components of `app.ts` as a server does, and ends: nothing may keep the process alive. */
import { renderToString } from "react-dom/server";
import { createElement as h, StrictMode } from "react";
import { createClient } from "@arqon/react";
import { app } from "./app.ts";

const client = createClient({ url: "localhost:1", token: "unused" });
const tree = (patient: boolean) => renderToString(h(StrictMode, null, app(client, patient)));
console.log(JSON.stringify([tree(false), tree(true)]));
