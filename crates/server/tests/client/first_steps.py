"""Uses a client that was generated from the server's description as a newcomer would: python first_steps.py URL."""

import sys

from foldin_client import Client
from foldin_client.api.events import append
from foldin_client.api.items import list_ as list_items
from foldin_client.api.recommendations import ask_next, explain, for_user, predict, recommend
from foldin_client.api.server import stats
from foldin_client.api.users import delete as forget
from foldin_client.api.users import get as get_user
from foldin_client.api.users import put as put_user
from foldin_client.models import (
    ActionIn,
    AskIn,
    EventIn,
    ExplainIn,
    PredictIn,
    RecommendIn,
    Refusal,
    Source,
    UserIn,
    UserInFeatures,
    WhoIn,
)

client = Client(base_url=sys.argv[1].rstrip("/"))
user = "client-test"

assert stats.sync(client=client).model == "lfg-bayes"
items = [item.id for item in list_items.sync(client=client, limit=5).items]
assert len(items) == 5, items

assert for_user.sync(user, client=client).source == Source.POPULAR, "nobody knows them"
written = append.sync(client=client, body=EventIn(user=user, item=items[0], value=5))
assert written.written == 1, written
written = append.sync(client=client, body=[EventIn(user=user, item=item, value=2) for item in items[1:3]])
assert not isinstance(written, Refusal) and written.written == 2, written

answer = for_user.sync(user, client=client, n=7, explain=1)
assert answer.source == Source.GENERATED and answer.used == 3, answer
assert len(answer.items) == 7 and not set(items[:3]) & {shown.item for shown in answer.items}, answer
assert answer.items[0].because[0].item in items[:3], answer.items[0]

history = [ActionIn(item=items[0], value=5), ActionIn(item=items[1], value=2), ActionIn(item=items[2], value=2)]
anonymous = recommend.sync(client=client, body=RecommendIn(history=history))
assert [shown.item for shown in anonymous.items[:7]] == [shown.item for shown in answer.items], "a user is a history"

who = WhoIn(user=user)
predicted = predict.sync(client=client, body=PredictIn(who=who, items=[items[3]]))
assert predicted[0].deviation > 0, predicted
assert len(explain.sync(client=client, body=ExplainIn(who=who, item=items[3]))) == 3
assert len(ask_next.sync(client=client, body=AskIn(who=who, n=2))) == 2

refused = predict.sync(client=client, body=PredictIn(who=who, items=["no such item"]))
assert isinstance(refused, Refusal) and refused.error.code == "unknown_item", refused

features = UserInFeatures.from_dict({"age": 31})
put_user.sync_detailed(user, client=client, body=UserIn(features=features))
assert get_user.sync(user, client=client).features.to_dict() == {"age": 31}
assert forget.sync(user, client=client).events == 3
assert for_user.sync(user, client=client).source == Source.POPULAR, "forgotten"
print("a generated client does its first steps")
