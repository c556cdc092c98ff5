// Drives the npm SDKs of OpenAI and Anthropic against BASE_URL with KEY and
// MODEL, unchanged but for the base URL, and prints what they saw as JSON, one
// object a line: {"check": name, …}. It judges nothing; that is the caller's part.
//
//   node check.mjs            what clients do when nothing is forbidden
//   node check.mjs refused    one call for each API, all meant to be refused
//   node check.mjs cut        opens a stream and a waiting plain call for each
//                             API, prints {"ready": n}, and tells how they end
import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';

const { BASE_URL, KEY, MODEL } = process.env;
const openai = new OpenAI({ baseURL: BASE_URL + '/v1', apiKey: KEY, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: BASE_URL, apiKey: KEY, authToken: null, maxRetries: 0 });
const retrying = new OpenAI({ baseURL: BASE_URL + '/v1', apiKey: KEY, maxRetries: 2 });

const print = (o) => process.stdout.write(JSON.stringify(o) + '\n');

// What an exception tells: its class, and those it derives from.
function failure(e) {
  const classes = [];
  for (let p = Object.getPrototypeOf(e); p && p !== Object.prototype; p = Object.getPrototypeOf(p)) classes.push(p.constructor.name);
  return {
    classes, status: e.status ?? null, code: e.code ?? null, type: e.type ?? null, message: String(e.message),
    error: e.error ?? null, request_id: e.requestID ?? null,
  };
}

async function check(name, f) {
  try {
    print({ check: name, ...(await f()) });
  } catch (e) {
    print({ check: name, failed: failure(e) });
  }
}

const chat = (text, more) => ({ model: MODEL, messages: [{ role: 'user', content: text }], ...more });
const message = (text, more) => ({ model: MODEL, max_tokens: 1000, messages: [{ role: 'user', content: text }], ...more });
const response = (text, more) => ({ model: MODEL, input: text, ...more });
const city = { type: 'object', properties: { city: { type: 'string', enum: ['Oslo'] } }, required: ['city'], additionalProperties: false };
const say = 'sim: text="Quietly, the tide comes in."';

// Reads a stream to its end; what was said before a failure is kept.
async function read(stream, textOf) {
  const got = { text: '', events: 0 };
  try {
    for await (const e of await stream) {
      got.events++;
      got.text += textOf(e) ?? '';
    }
  } catch (e) {
    got.failed = failure(e);
  }
  return got;
}

const chatText = (e) => e.choices[0]?.delta?.content;
const completionText = (e) => e.choices[0]?.text;
const responseText = (e) => (e.type === 'response.output_text.delta' ? e.delta : '');
const messageText = (e) => (e.type === 'content_block_delta' ? e.delta.text : '');

async function suite() {
  await check('openai chat', async () => {
    const r = await openai.chat.completions.create(chat(say));
    return { text: r.choices[0].message.content, finish: r.choices[0].finish_reason, tokens: r.usage.completion_tokens };
  });
  await check('openai chat stream', () => read(openai.chat.completions.create(chat(say, { stream: true })), chatText));
  await check('openai chat stream object', async () => {
    const r = await openai.chat.completions.stream(chat(say, { stream_options: { include_usage: true } })).finalChatCompletion();
    return { text: r.choices[0].message.content, tokens: r.usage.completion_tokens };
  });
  await check('openai chat tool', async () => {
    const tools = [{ type: 'function', function: { name: 'weather', parameters: city } }];
    const r = await openai.chat.completions.stream(chat('sim: tool=weather', { tools })).finalChatCompletion();
    return { tool: r.choices[0].message.tool_calls[0].function.name, arguments: r.choices[0].message.tool_calls[0].function.arguments };
  });
  await check('openai responses', async () => {
    const r = await openai.responses.create(response(say));
    return { text: r.output_text, finish: r.status, tokens: r.usage.output_tokens };
  });
  await check('openai responses stream', () => read(openai.responses.create(response(say, { stream: true })), responseText));
  await check('openai responses tool', async () => {
    const tools = [{ type: 'function', name: 'weather', parameters: city, strict: true }];
    const r = await openai.responses.stream(response('sim: tool=weather', { tools })).finalResponse();
    return { tool: r.output[0].name, arguments: r.output[0].arguments };
  });
  await check('openai completions stream', () => read(openai.completions.create({ model: MODEL, prompt: say, stream: true }), completionText));
  await check('openai embeddings', async () => {
    const r = await openai.embeddings.create({ model: MODEL, input: ['one', 'two'], dimensions: 32 }); // base64 underneath
    return { embeddings: r.data.length, dimensions: r.data[1].embedding.length };
  });
  await check('openai models', async () => {
    const names = [];
    for await (const m of openai.models.list()) names.push(m.id);
    return { models: names, one: (await openai.models.retrieve(MODEL)).id };
  });
  await check('openai error 429', () => openai.chat.completions.create(chat('sim: error=429')));
  await check('openai error 400', () => openai.responses.create(response('sim: error=400')));
  await check('openai error 404', () => openai.models.retrieve('no-such-model'));
  await check('openai chat error inside', () => read(openai.chat.completions.create(chat('sim: tokens=9 error=503 after=2', { stream: true })), chatText));
  await check('openai responses error inside', () => read(openai.responses.create(response('sim: tokens=9 error=503 after=2', { stream: true })), responseText));
  await check('openai chat broken off', () => read(openai.chat.completions.create(chat('sim: tokens=9 cut=2', { stream: true })), chatText));

  await check('anthropic messages', async () => {
    const r = await anthropic.messages.create(message(say));
    return { text: r.content[0].text, finish: r.stop_reason, tokens: r.usage.output_tokens };
  });
  await check('anthropic messages stream', () => read(anthropic.messages.create(message(say, { stream: true })), messageText));
  await check('anthropic messages stream object', async () => {
    const r = await anthropic.messages.stream(message(say)).finalMessage();
    return { text: r.content[0].text, tokens: r.usage.output_tokens };
  });
  await check('anthropic tool', async () => {
    const r = await anthropic.messages.stream(message('sim: tool=weather', { tools: [{ name: 'weather', input_schema: city }] })).finalMessage();
    return { tool: r.content[0].name, arguments: JSON.stringify(r.content[0].input), finish: r.stop_reason };
  });
  await check('anthropic count', async () => {
    const q = { model: MODEL, messages: [{ role: 'user', content: 'How many?' }] };
    return { counted: (await anthropic.messages.countTokens(q)).input_tokens, charged: (await anthropic.messages.create({ ...q, max_tokens: 9 })).usage.input_tokens };
  });
  await check('anthropic models', async () => {
    const names = [];
    for await (const m of anthropic.models.list()) names.push(m.id);
    return { models: names, one: (await anthropic.models.retrieve(MODEL)).id };
  });
  await check('anthropic error 429', () => anthropic.messages.create(message('sim: error=429')));
  await check('anthropic error 404', () => anthropic.models.retrieve('no-such-model'));
  await check('anthropic error inside', () => read(anthropic.messages.create(message('sim: tokens=9 error=529 after=2', { stream: true })), messageText));
  await check('anthropic broken off', () => read(anthropic.messages.create(message('sim: tokens=9 cut=2', { stream: true })), messageText));
}

async function refused() {
  await check('openai chat', () => openai.chat.completions.create(chat('hello')));
  await check('openai chat stream', () => openai.chat.completions.create(chat('hello', { stream: true })));
  await check('openai chat with retries', () => retrying.chat.completions.create(chat('hello again')));
  await check('openai responses', () => openai.responses.create(response('hello')));
  await check('openai embeddings', () => openai.embeddings.create({ model: MODEL, input: 'hello' }));
  await check('anthropic messages', () => anthropic.messages.create(message('hello')));
  await check('anthropic messages stream', () => anthropic.messages.create(message('hello', { stream: true })));
}

async function cut() {
  const long = 'sim: tokens=100000 interval=20ms';
  const waits = 'sim: tokens=1000 interval=1s';
  const ready = [];
  // The stream is ready once it has said something.
  const open = (stream, textOf) => new Promise((done) => {
    ready.push(new Promise((began) => {
      done(read(stream, (e) => {
        const text = textOf(e);
        if (text) began();
        return text;
      }).finally(began));
    }));
  });
  const plain = async (call) => ({ text: JSON.stringify(await call) });
  const calls = [
    check('openai chat stream', () => open(openai.chat.completions.create(chat(long, { stream: true })), chatText)),
    check('openai responses stream', () => open(openai.responses.create(response(long, { stream: true })), responseText)),
    check('openai completions stream', () => open(openai.completions.create({ model: MODEL, prompt: long, stream: true }), completionText)),
    check('anthropic messages stream', () => open(anthropic.messages.create(message(long, { stream: true, max_tokens: 100000 })), messageText)),
    check('openai chat', () => plain(openai.chat.completions.create(chat(waits)))),
    check('openai responses', () => plain(openai.responses.create(response(waits)))),
    check('anthropic messages', () => plain(anthropic.messages.create(message(waits)))),
  ];
  await Promise.all(ready);
  print({ ready: { streams: 4, plain: 3 } });
  await Promise.all(calls);
}

await { suite, refused, cut }[process.argv[2] ?? 'suite']();
