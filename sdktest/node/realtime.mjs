// Opens a realtime session at BASE_URL with KEY and MODEL by the OpenAI npm
// SDK, has it say a text, then one without end, and prints what it saw as JSON,
// one object a line. It judges nothing.
import OpenAI from 'openai';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';

const { BASE_URL, KEY, MODEL } = process.env;
const print = (o) => process.stdout.write(JSON.stringify(o) + '\n');
const client = new OpenAI({ baseURL: BASE_URL + '/v1', apiKey: KEY, maxRetries: 0 });
// The SDK writes wss, and the test has no certificate.
const plain = globalThis.WebSocket;
globalThis.WebSocket = class extends plain {
  constructor(url, options) {
    url = new URL(url);
    if (url.protocol === 'wss:') url.protocol = 'ws:';
    super(url, options);
  }
};
const rt = new OpenAIRealtimeWebSocket({ model: MODEL, dangerouslyAllowBrowser: true }, client);
const user = (text) => rt.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] } });
let text = '', events = 0, answers = 0;

rt.on('error', (e) => print({ check: 'error', classes: [e.constructor.name], code: e.error?.code ?? null, type: e.error?.type ?? null, message: String(e.message) }));
rt.on('event', () => events++);
rt.on('session.created', () => rt.send({ type: 'session.update', session: { type: 'realtime', output_modalities: ['text'] } }));
rt.on('session.updated', () => {
  user('sim: text="Quietly, the tide comes in."');
  rt.send({ type: 'response.create' });
});
rt.on('response.output_text.delta', (e) => {
  text += e.delta;
  if (answers === 1) {
    answers++;
    print({ check: 'ready' });
  }
});
rt.on('response.done', (e) => {
  print({ check: 'said', text, events, tokens: e.response.usage.output_tokens });
  answers++;
  user('sim: tokens=100000 interval=10ms');
  rt.send({ type: 'response.create' });
});
rt.socket.addEventListener('close', (e) => {
  print({ check: 'close', code: e.code, message: e.reason });
  process.exit(0);
});
