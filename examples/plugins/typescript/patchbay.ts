// The Patchbay plugin protocol, version 1, for Node 18 or newer with @grpc/grpc-js. sdk/PROTOCOL.md specifies it.
//
//     const plugin = new Plugin("weather", "1.0.0", "Weather of the world");
//     plugin.block({
//       id: "a UUID", name: "Forecast",
//       input: { city: { type: "string" } }, required: ["city"], output: { forecast: { type: "string" } },
//       run: async (run, input) => { await run.emit("forecast", "sunny in " + input.city); },
//     });
//     plugin.serve();
//
// A block is a function of a run and its input. What it throws is the run's error. This file is yours: change it where
// it does not fit.
import { writeSync } from "node:fs";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import { parse } from "protobufjs";
import specification from "./plugin.proto";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Frame = Record<string, any>; // a message of plugin.proto

export enum Kind { Permanent = 1, InvalidInput, Authentication, RateLimited, Temporary, Cancelled, Panic }
export enum Scope { Node = 1, Agent, User } // who shares a key

/** An error that its block foresaw: a sentence for the user, and what the server may do about it. */
export class Failure extends Error {
  constructor(text: string, readonly kind = Kind.Permanent, readonly retryAfterMs = 0) { super(text); }
}

export interface Block {
  id: string; // a UUID in lower case, the same for ever
  name: string;
  description?: string;
  categories?: string[];
  /** JSON Schema of each pin. */
  input: Record<string, Frame>;
  required?: string[];
  output: Record<string, Frame>;
  /** Pairs of an input and the lists of values at each output pin. They document the block and are tests of it. */
  examples?: [input: Record<string, Json>, output: Record<string, Json[]>][];
  pure?: boolean;
  streaming?: boolean;
  once?: boolean;
  staticOutput?: boolean;
  credentials?: { pin: string; providers: string[]; types: string[]; scopes?: string[]; optional?: boolean }[];
  run(run: Run, input: any): Promise<void> | void;
}

/** One run of a block, and all that it may ask. */
export class Run {
  readonly raw: Buffer; // the input as it was sent
  readonly context: Frame;
  readonly recorded: { pin: string; value: Buffer }[]; // what earlier attempts of a streaming block left
  readonly credentials: Record<string, Frame> = {}; // by pin
  private readonly aborted = new AbortController();
  /** Aborted when the run is cancelled or its deadline is over: pass it to what waits. */
  readonly signal = this.aborted.signal;
  private credit: number;
  private called = 0;
  private readonly replies = new Map<string, (reply: Frame) => void>();
  private readonly stats: Record<string, number> = {};
  private readonly waiting = new Set<() => void>(); // each looks again whether it may go on
  private ended = false;
  private readonly timer?: NodeJS.Timeout;

  constructor(private readonly start: Frame, private readonly send: (frame: Frame) => void) {
    this.raw = start.input;
    this.context = start.context ?? {};
    this.recorded = start.recorded;
    this.credit = start.credit;
    for (const c of start.credentials) this.credentials[c.pin] = c;
    const deadline = Number(this.context.deadline_unix_ms ?? 0);
    if (deadline > 0) this.timer = setTimeout(() => this.abort("the deadline is over"), Math.min(deadline - Date.now(), 2 ** 31 - 1));
  }

  /** Puts a value out; a Buffer is JSON and goes out as it is. Waits while the server is busy with earlier ones. */
  async emit(pin: string, value: Json | Buffer): Promise<void> {
    const data = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
    await this.until(() => this.credit > 0);
    this.credit--;
    this.frame("output", { pin, value: data });
  }

  /** Tells who watches; it is never stored. */
  progress(text: string, percent = 0): void { this.frame("progress", { text: clean(text), percent }); }

  /** Writes to the server's log: trace, debug, info, warn or error. */
  log(level: string, text: string, fields: Record<string, string> = {}): void {
    this.frame("log", { level, message: clean(text), fields });
  }

  /** Adds to a number that stands with the node execution when the run has ended. */
  count(name: string, n = 1): void { this.stats[name] = (this.stats[name] ?? 0) + n; }

  /** Sleeps, unless the run is cancelled. */
  async wait(ms: number): Promise<void> {
    let over = false;
    const timer = setTimeout(() => { over = true; this.look(); }, ms);
    await this.until(() => over).finally(() => clearTimeout(timer));
  }

  /** Asks the server: call("get_key", { scope: Scope.Agent, key: "seen" }). PROTOCOL.md lists the services. */
  async call(service: string, parameters: Frame): Promise<Frame> {
    return this.ask(service, parameters)[1];
  }

  /** Makes an HTTP request through the server: a plugin may have no network. */
  async request(url: string, options: { method?: string; headers?: Record<string, string>; body?: Buffer } = {}) {
    const headers = Object.entries(options.headers ?? {}).map(([name, value]) => ({ name, value: Buffer.from(value) }));
    const [handle, answer] = this.ask("http_request", { method: options.method ?? "GET", url, headers, body: options.body });
    const response = await answer;
    const pieces: Uint8Array[] = [];
    for (let piece: Frame = {}; !piece.end; ) {
      piece = await this.call("read", { handle, max: 256 << 10 });
      pieces.push(piece.data);
    }
    const received = response.headers.map((h: Frame) => [h.name, h.value.toString("latin1")]);
    return { status: response.status as number, headers: Object.fromEntries(received), body: Buffer.concat(pieces) };
  }

  /** The input's pins as the bytes that were sent: emitting them passes values on exactly, 2^53 + 1 too. */
  members(): Record<string, Buffer> {
    const text = this.raw.toString(), found: Record<string, Buffer> = {};
    const tokens = /["{}[\],:]/g;
    let depth = 0, pin = "", begin = 0;
    for (let match = tokens.exec(text); match; match = tokens.exec(text)) {
      const token = match[0], index = match.index;
      if (token === '"') { // to the quote that no odd number of backslashes precedes
        for (let end = index, odd = true; odd; tokens.lastIndex = end + 1) {
          end = text.indexOf('"', end + 1);
          for (odd = false, match.index = end; text[--match.index] === "\\"; ) odd = !odd;
        }
        if (depth === 1 && begin === 0) pin = JSON.parse(text.slice(index, tokens.lastIndex));
      }
      if (depth === 1 && begin === 0 && token === ":") begin = index + 1;
      if (depth === 1 && begin > 0 && (token === "," || token === "}")) {
        found[pin] = Buffer.from(text.slice(begin, index).trim());
        begin = 0;
      }
      if (token === "{" || token === "[") depth++;
      if (token === "}" || token === "]") depth--;
    }
    return found;
  }

  private ask(service: string, parameters: Frame): [number: string, answer: Promise<Frame>] {
    const number = String(++this.called);
    return [number, (async () => {
      if (this.start.calls === 0) throw new Failure("the server answers no calls of this run");
      await this.until(() => this.replies.size < this.start.calls);
      let reply: Frame | undefined;
      if (service !== "close") this.replies.set(number, r => { reply = r; this.look(); });
      this.frame("call", { number, [service]: parameters });
      if (service === "close") return {};
      await this.until(() => reply !== undefined);
      if (reply!.error) throw new Failure(reply!.error.message, reply!.error.kind, Number(reply!.error.retry_after_ms));
      return reply![reply!.result] ?? {};
    })()];
  }

  private async until(ready: () => boolean): Promise<void> {
    while (!this.signal.aborted && !ready()) await new Promise<void>(resolve => this.waiting.add(resolve));
    this.signal.throwIfAborted();
  }

  private look(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }

  private frame(kind: string, fields: Frame): void {
    if (!this.ended) this.send({ [kind]: { run: this.start.run, ...fields } });
  }

  abort(why: string): void {
    this.aborted.abort(new Failure(why, Kind.Cancelled));
    this.look();
  }

  take(kind: string, frame: Frame): void {
    if (kind === "cancel") this.abort("the run was cancelled");
    if (kind === "credit") { this.credit += frame.n; this.look(); }
    if (kind === "reply") {
      const settle = this.replies.get(frame.number);
      this.replies.delete(frame.number);
      settle?.(frame);
    }
  }

  async go(block: Block | undefined): Promise<void> {
    let error: Frame | undefined;
    try {
      if (!block) throw new Failure(`there is no block ${JSON.stringify(this.start.block)}`);
      for (const pin of block.credentials ?? [])
        if (!pin.optional && !this.credentials[pin.pin]) throw new Failure(`credentials are missing at ${pin.pin}`, Kind.Authentication);
      const defaults = Object.entries(block.input).filter(([, s]) => "default" in s).map(([pin, s]) => [pin, s.default]);
      await block.run(this, { ...Object.fromEntries(defaults), ...JSON.parse(this.raw.toString()) });
    } catch (e) {
      const failure = e instanceof Failure ? e : this.signal.aborted ? this.signal.reason as Failure : undefined;
      if (!failure) console.error(e); // a run that crashes takes nobody with it
      error = failure ? { kind: failure.kind, message: clean(failure.message), retry_after_ms: failure.retryAfterMs }
        : { kind: Kind.Panic, message: clean(String(e)) };
    }
    clearTimeout(this.timer);
    this.frame("done", { error, stats: this.stats });
    this.ended = true;
    this.abort("the run has ended");
  }
}

function clean(text: string): string {
  return Buffer.from(text).subarray(0, 64 << 10).toString().replace(/\ufffd+$/, "");
}

/** A plugin: its name is [a-z][a-z0-9_]*, its version a semantic one. */
export class Plugin {
  readonly settings: Record<string, string> = {}; // by name; the values are there in a run
  readonly blocks = new Map<string, Block>();

  constructor(readonly name: string, readonly version: string, readonly description = "",
    private readonly described: { name: string; description?: string; default?: string; required?: boolean; secret?: boolean }[] = []) {
    for (const s of described) this.settings[s.name] = s.default ?? "";
  }

  block(block: Block): Block {
    this.blocks.set(block.id, block);
    return block;
  }

  /** Runs a block in a test, without a server: gives its outputs by pin, or throws its error. */
  async tryRun(block: Block, input: Record<string, Json>, start: Frame = {}): Promise<Record<string, Json[]>> {
    const outputs: Record<string, Json[]> = {};
    let failure: Failure | undefined;
    await new Run({ run: "1", input: Buffer.from(JSON.stringify(input)), credit: 1e9, credentials: [], recorded: [], calls: 0, ...start }, frame => {
      if (frame.output) (outputs[frame.output.pin] ??= []).push(JSON.parse(frame.output.value.toString()));
      if (frame.done?.error) failure = new Failure(frame.done.error.message, frame.done.error.kind);
    }).go(block);
    if (failure) throw failure;
    return outputs;
  }

  private describe(): Frame {
    return {
      name: this.name, version: this.version, protocol_version: 1, sdk: "patchbay.ts 1", description: this.description, settings: this.described,
      blocks: [...this.blocks.values()].map(b => ({
        id: b.id, name: b.name, description: b.description, categories: b.categories, static_output: b.staticOutput, credentials: b.credentials,
        traits: { pure: b.pure, streaming: b.streaming, once: b.once },
        input_schema: Buffer.from(JSON.stringify({ type: "object", properties: b.input, required: b.required ?? [] })),
        output_schema: Buffer.from(JSON.stringify({ type: "object", properties: b.output })),
        examples: (b.examples ?? []).map(([input, outputs]) => ({
          input: Buffer.from(JSON.stringify(input)),
          outputs: Object.entries(outputs).flatMap(([pin, values]) => values.map(v => ({ pin, value: Buffer.from(JSON.stringify(v)) }))),
        })),
      })),
    };
  }

  /** What all blocks together take, by provider. */
  private credentials(): { provider: string; types: string[]; scopes: string[] }[] {
    const taken = new Map<string, { types: Set<string>; scopes: Set<string> }>();
    for (const block of this.blocks.values())
      for (const pin of block.credentials ?? [])
        for (const provider of pin.providers) {
          const of = taken.get(provider) ?? { types: new Set(), scopes: new Set() };
          pin.types.forEach(t => of.types.add(t));
          pin.scopes?.forEach(s => of.scopes.add(s));
          taken.set(provider, of);
        }
    return [...taken].map(([provider, of]) => ({ provider, types: [...of.types], scopes: [...of.scopes] }));
  }

  /** The whole of main. With the argument "manifest" it prints plugin.json. */
  serve(): void {
    if (process.argv[2] === "manifest") {
      console.log(JSON.stringify({ name: this.name, version: this.version, protocol: 1, auto_mtls: false, description: this.description,
        settings: this.described.map(({ name, description, required, secret }) => ({ name, description, required, secret })), credentials: this.credentials() }, null, 2));
      return;
    }
    if (process.env.PATCHBAY_PLUGIN !== "ef2c1f0a5ab04f3e9ea4f1c9c2d3a7b6") {
      console.error(`This is the Patchbay plugin ${this.name} ${this.version}. A Patchbay server starts it: install it with patchbay plugin install <folder of this program>`);
      process.exit(1);
    }
    delete process.env.PATCHBAY_PLUGIN;
    process.stdout.write = process.stderr.write.bind(process.stderr); // what anybody prints becomes a line of the log
    process.on("uncaughtException", e => console.error(e)); // of code that no run waits for
    const runs = new Map<string, Run>(), parent = process.ppid, started = Date.now();
    let began = false, ending = false;
    const end = () => { // cancels all runs, gives them two seconds, and exits
      if (ending) return;
      ending = true;
      for (const run of runs.values()) run.abort("the server has ended the session");
      const until = Date.now() + 2000;
      setInterval(() => { if (runs.size === 0 || Date.now() > until) process.exit(0); }, 10);
    };
    setInterval(() => { // a process whose server died or forgot it
      if (process.ppid !== parent || !began && Date.now() - started > 60_000) process.exit(1);
    }, 1000).unref();

    const limits = { "grpc.max_receive_message_length": 64 << 20, "grpc.max_send_message_length": 64 << 20 };
    const server = new grpc.Server(limits);
    server.addService(messages["patchbay.plugin.v1.Plugin"] as grpc.ServiceDefinition, {
      Describe: (_: unknown, answer: Answer) => answer(null, this.describe()),
      Configure: (call: { request: Frame }, answer: Answer) => { Object.assign(this.settings, call.request.settings); answer(null, {}); },
      Session: (call: grpc.ServerDuplexStream<Frame, Frame>) => {
        if (began) { call.emit("error", { code: grpc.status.FAILED_PRECONDITION, details: "this process has its session" }); return; }
        began = true;
        call.on("data", (request: Frame) => {
          const kind: string | undefined = request.frame, frame = kind ? request[kind] : undefined;
          if (kind === "start") {
            const run = new Run(frame, response => { if (!ending) call.write(response); });
            runs.set(frame.run, run);
            void run.go(this.blocks.get(frame.block)).finally(() => runs.delete(frame.run));
          } else if (kind) runs.get(frame.run)?.take(kind, frame); // of none: it has crossed with the run's end
        });
        call.on("error", end).on("cancelled", end).on("end", () => { end(); call.end(); });
      },
    });
    server.addService(raw("/grpc.health.v1.Health/Check"), { call: (_: unknown, answer: Answer) => answer(null, Buffer.from([8, 1])) }); // SERVING
    server.addService(raw("/plugin.GRPCController/Shutdown"), { call: (_: unknown, answer: Answer) => { answer(null, Buffer.alloc(0)); end(); } });
    const path = join(process.env.PLUGIN_UNIX_SOCKET_DIR ?? ".", "plugin.sock");
    server.bindAsync("unix:" + path, grpc.ServerCredentials.createInsecure(), error => {
      if (error) throw error;
      writeSync(1, `1|1|unix|${path}|grpc|\n`);
    });
  }
}

type Answer = (error: null, value: unknown) => void;

const messages = fromJSON(parse(specification, { keepCase: true }).root.toJSON(), { keepCase: true, longs: String, defaults: true, oneofs: true });

/** A service of one method whose messages are bytes. */
function raw(path: string): grpc.ServiceDefinition {
  const same = (b: Buffer) => b;
  return { call: { path, requestStream: false, responseStream: false, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same } };
}
