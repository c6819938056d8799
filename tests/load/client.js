// What k6's Pusher client (load-tests/lib/pusher) does, against a real server whose app has client events. The run
// fails when one of these does not hold.

import { check, fail } from 'k6';
import { Counter } from 'k6/metrics';
import { after, within } from '../../load-tests/lib/clock.js';
import { byAddress, bySecret, byToken } from '../../load-tests/lib/pusher/authorizers.js';
import { publish } from '../../load-tests/lib/pusher/back-end.js';
import { Pusher } from '../../load-tests/lib/pusher/client.js';
import { comeback } from '../../load-tests/lib/pusher/close-codes.js';
import { target } from '../../load-tests/lib/target.js';

const finished = new Counter('finished');

export const options = { thresholds: { checks: ['rate==1'], finished: ['count==1'] } };

const clients = [];
/** Messages that a channel keeps, and one more than that. */
const TOO_MANY = 501;

function client(settings) {
  clients.push(new Pusher(settings));
  return clients[clients.length - 1].connect();
}

async function soon(what, promise) {
  const value = await within(5_000, promise);
  if (value === undefined) fail(`${what}: not within 5 s`);
  return value;
}

const subscribed = (channel) => soon(channel.name, channel.next('subscribed'));

export default async function () {
  const parts = [closeCodes, authorization, clientEvents, refusal, unsubscribing, comingBack, gap];
  for (const part of parts) await part();
  for (const one of clients) one.disconnect();
  finished.add(1);
}

function closeCodes() {
  const retry = (tls, delay) => ({ tls, delay });
  const table = [
    [1000, retry(false, 1_000)],
    [1006, retry(false, 1_000)],
    [4000, retry(true, 0)],
    [4001, undefined],
    [4099, undefined],
    [4100, retry(false, 1_000)],
    [4200, retry(false, 0)],
    [4299, retry(false, 0)],
    [4300, undefined],
  ];
  for (const [code, expected] of table) {
    check(comeback(code), { [`${code}: as pusher-js`]: (does) => JSON.stringify(does) === JSON.stringify(expected) });
  }
}

async function authorization() {
  const member = { user_id: 'k6' };
  for (const [how, settings] of [
    ['a signature of our own', { authorize: bySecret(target.app, member) }],
    ["the server's signature", { authorize: byToken(target, 'page-1') }],
    ['the token in the address', { authorize: byAddress(member), token: target.token }],
  ]) {
    const pusher = client(settings);
    await subscribed(pusher.subscribe(`private-tenant.${target.tenant}`));
    const [{ presence }] = await subscribed(pusher.subscribe(`presence-tenant.${target.tenant}`));
    check(presence, { [`joined by ${how}`]: ({ count }) => count >= 1 });
    check(await soon('a pong', pusher.ping()), { 'a ping is answered': (took) => took >= 0 });
    pusher.disconnect();
  }
}

async function clientEvents() {
  const [said, heard] = [client(), client()].map((pusher) => pusher.subscribe('private-talk'));
  await Promise.all([subscribed(said), subscribed(heard)]);
  let echoes = 0;
  said.bind('client-word', () => (echoes += 1));
  said.trigger('client-word', { n: 7 });
  const [data] = await soon('a client event', heard.next('client-word'));
  check(data, { 'a client event reaches the others': ({ n }) => n === 7 });
  check(echoes, { 'and not who sent it': (count) => count === 0 });
}

async function refusal() {
  const wrong = client({ authorize: () => ({ auth: `${target.app.key}:${'0'.repeat(64)}` }) });
  const [why] = await soon('a refusal', wrong.subscribe('private-x').next('refused'));
  check(why, { 'a wrong signature is refused': ({ status }) => status === 401 });
  const stranger = client({ authorize: bySecret(target.app), token: '1|nobody' });
  const [code] = await soon('a failure', stranger.next('failed'));
  check(code, { 'a wrong token ends it with 4009': (given) => given === 4009 });
}

async function unsubscribing() {
  const pusher = client();
  const [left, stays] = ['left', 'stays'].map((name) => pusher.subscribe(name));
  await Promise.all([subscribed(left), subscribed(stays)]);
  let count = 0;
  left.bind('news', () => (count += 1));
  pusher.unsubscribe('left');
  await soon('a pong', pusher.ping());
  publish(['left', 'stays'], 'news', {});
  await soon('news', stays.next('news'));
  check(count, { 'nothing comes from a channel that was left': (events) => events === 0 });
}

/** A member of its own presence channel, by which the server knows who is back. */
async function member(name) {
  const pusher = client({ authorize: bySecret(target.app, { user_id: name }) });
  const channel = pusher.subscribe(`presence-${name}`);
  await subscribed(channel);
  return { pusher, channel };
}

async function comingBack() {
  const { pusher, channel } = await member('back');
  const first = pusher.socketId;
  pusher.drop(500);
  await after(100);
  publish([channel.name], 'missed', { n: 1 });
  const [data] = await soon('what was missed', channel.next('missed'));
  check(data, { 'what was missed is replayed': ({ n }) => n === 1 });
  check(pusher.socketId, { 'on another connection': (second) => second && second !== first });
}

async function gap() {
  const { pusher, channel } = await member('gap');
  pusher.drop(500);
  await after(100);
  for (let n = 0; n < TOO_MANY; n += 1) publish([channel.name], 'missed', { n });
  const [data] = await soon('a gap', channel.next('gap'));
  check(data, { 'what cannot be replayed is told': ({ offset }) => offset >= TOO_MANY });
}

export function handleSummary({ metrics, root_group: { checks } }) {
  const lines = checks.map(({ name, fails }) => `${fails === 0 ? 'ok    ' : 'FAILED'}  ${name}`);
  const end = metrics.finished?.values.count === 1 ? '' : 'FAILED  to come to the end\n';
  return { stdout: `${lines.join('\n')}\n${end}` };
}
