"""All routes of /v1."""

from collections.abc import Sequence

from domain.parameters import Parameter, Params
from domain.quantities import ALL_QUANTITIES
from domain.record_layout import FLAGS_COLUMN
from domain.time.time_buckets import BUCKET_SIZES
from server.v1.completeness import (
    BY_DAY_FIELDS,
    BY_METER_FIELDS,
    COMPLETENESS_PARAMETERS,
    completeness,
)
from server.v1.figures import (
    AGGREGATE_PARAMETERS,
    PEAKS_PARAMETERS,
    PROFILE_PARAMETERS,
    QUALITY_PARAMETERS,
    SUMMARY_LEFT_OUT,
    SUMMARY_PARAMETERS,
    figures_of_meter,
)
from server.v1.formats.base import METER_COLUMN
from server.v1.grants import (
    CHANGES,
    GRANT_FIELDS,
    GRANT_LIST_PARAMETERS,
    GRANTS_PATH,
    REMOVALS,
    visible_grants,
)
from server.v1.groups import (
    GROUP_AGGREGATE_PARAMETERS,
    GROUP_FIELDS,
    GROUP_LIST_PARAMETERS,
    GROUP_MEMBERS_PARAMETERS,
    GROUP_PEAKS_PARAMETERS,
    GROUP_PROFILE_PARAMETERS,
    GROUP_QUALITY_PARAMETERS,
    GROUP_SUMMARY_PARAMETERS,
    LISTED_GROUP_FIELDS,
    figures_of_group,
    group_of_path,
    imports_of_group,
    visible_groups,
)
from server.v1.imports import IMPORT_PARAMETERS, NUMBER, imports_of_meter
from server.v1.meters import (
    LIST_PARAMETERS,
    METER_FIELDS,
    RECENT_FIELDS,
    meter_of_path,
    visible_meters,
)
from server.v1.parameters import PAGING, PERIOD, READING_FIELDS, START, V1_QUALITY, WRITING
from server.v1.readings import (
    GROUP,
    METER_LIST,
    readings_of_group,
    readings_of_meter,
    readings_of_meters,
)
from server.v1.route import MakeRequest, V1Route, data_handler
from storage.figures.aggregate import Aggregate
from storage.figures.data_quality import LISTS, DataQuality
from storage.figures.peaks import Peaks
from storage.figures.profile import COLUMNS, SPLITS, Profile
from storage.figures.result import Field, FieldType
from storage.figures.selection import Period
from storage.figures.summary import Summary
from storage.groups.aggregate import GROUP_COLUMNS, GroupAggregate, GroupSummary
from storage.groups.demand.peaks import GroupPeaks
from storage.groups.demand.profile import GroupProfile
from storage.groups.ranking import RANKED_MEMBER_FIELDS
from storage.import_history import IMPORT_FIELDS, MEMBER_IMPORT_FIELDS, REPLACED_FIELDS

_METER = "/v1/meters/{meter}"
_GROUP = "/v1/groups/{group}"
_WEEK = {"from": "2019-09-02", "to": "2019-09-09"}

_READING_KIND = (
    Field(START, FieldType.INSTANT, "Start of the interval"),
    *(
        Field(quantity.name, FieldType.QUANTITY, quantity.comment, quantity.result_unit)
        for quantity in ALL_QUANTITIES
    ),
    Field("id", FieldType.COUNT, "Number of the reading of its meter, in the order of import"),
    Field(FLAGS_COLUMN, FieldType.TEXT, "Quality flags, separated by spaces"),
)

_READING_OF_METER = (
    Field(METER_COLUMN, FieldType.TEXT, "Public id of the meter"),
    *_READING_KIND,
)


def _route(
    path: str,
    name: str,
    make: MakeRequest,
    parameters: Sequence[Parameter],
    kinds: Sequence[Sequence[Field]],
    *,
    summary: str,
    description: str,
    tag: str = "figures",
    example: Params | None = None,
    is_single: bool = False,
    is_paged: bool = False,
    has_permission: bool = False,
    more_fields: Params | None = None,
) -> V1Route:
    own = [*parameters, *(each for each in WRITING if each not in parameters)]
    return V1Route(
        path=path,
        name=name,
        tag=tag,
        summary=summary,
        description=description,
        parameters=own,
        handler=data_handler(own, make),
        kinds=kinds,
        is_single=is_single,
        is_paged=is_paged,
        has_permission=has_permission,
        more_fields=more_fields or {},
        example=example or {},
    )


V1_ROUTES = (
    V1Route(
        path="/v1/meters",
        name="listMeters",
        tag="meters",
        summary="The meters that you may see",
        description="In the order of their ids, page by page.",
        parameters=LIST_PARAMETERS,
        handler=visible_meters,
        kinds=[METER_FIELDS, (*METER_FIELDS, *RECENT_FIELDS)],
        example={"search": "main"},
    ),
    _route(
        _METER,
        "getMeter",
        meter_of_path,
        [],
        [METER_FIELDS],
        tag="meters",
        summary="A meter",
        description="What it is called, its time zone and interval, and what its readings span.",
        is_single=True,
    ),
    _route(
        f"{_METER}/readings",
        "getReadings",
        readings_of_meter,
        [*PERIOD, READING_FIELDS, V1_QUALITY, *PAGING],
        [_READING_KIND],
        tag="readings",
        summary="Readings of a meter, in the order of time",
        description=(
            "The start of a reading is that of its interval; the repeated hour at the end of summer"
            " time comes twice, with two offsets. The answer is streamed, and can be long."
        ),
        example={"from": "2019-10-27T02:45:00", "limit": "2", "fields": "start,energy,power"},
        is_paged=True,
    ),
    _route(
        "/v1/readings",
        "getReadingsOfMeters",
        readings_of_meters,
        [METER_LIST, GROUP, *PERIOD, READING_FIELDS, V1_QUALITY, *PAGING],
        [_READING_OF_METER],
        tag="readings",
        summary="Readings of several meters, or of a group, by meter and time",
        description=(
            "One stream, meter after meter in the order of their ids; with limit, cursors resume it"
            " where it ended. Days are those of each meter's zone. Either meter or group is"
            " required."
        ),
        example={"meter": "main", "from": "2019-09-02", "limit": "2", "fields": "start,energy"},
        is_paged=True,
    ),
    _route(
        f"{_METER}/aggregates",
        "getAggregates",
        figures_of_meter("aggregates"),
        AGGREGATE_PARAMETERS,
        [
            Aggregate.of({"interval": "day"}).fields,
            Aggregate.of({"interval": "day", "columns": FLAGS_COLUMN}).fields,
        ],
        summary="Readings aggregated by time",
        description=(
            "Energy is summed; power, voltage and intensity have mean, minimum and maximum (nulls"
            " ignored); the maximeter has its maximum and the time of it. A record without readings"
            " has nulls; expected, present and coverage say what is missing."
        ),
        example={"resolution": "P1D", "from": "2019-10-26", "limit": "2", "fields": "energy"},
        is_paged=True,
    ),
    _route(
        f"{_METER}/profile",
        "getProfile",
        figures_of_meter("profile"),
        PROFILE_PARAMETERS,
        [
            *(Profile.of({"by": by}).fields for by in SPLITS),
            *(Profile.of({"column": name}).fields for name in COLUMNS),
            Profile.of({"percentiles": "1"}).fields,
        ],
        summary="Load profile: a quantity by time of day",
        description=(
            "For each local time of day: mean, minimum, maximum and percentiles (nearest rank),"
            " without the readings flagged catch_up."
        ),
        example={**_WEEK, "by": "none", "percentiles": "50"},
        more_fields={"^p[0-9]+$": "A percentile"},
    ),
    _route(
        f"{_METER}/peaks",
        "getPeaks",
        figures_of_meter("peaks"),
        PEAKS_PARAMETERS,
        [Peaks.of({}).fields],
        summary="The highest demands with their times",
        description=(
            "Demand is the maximeter; if no reading has one, it is power, or else energy divided by"
            " the hours of the reading: demand_of in meta names the source."
        ),
        example={**_WEEK, "limit": "2"},
    ),
    _route(
        f"{_METER}/summary",
        "getSummary",
        figures_of_meter("summary"),
        SUMMARY_PARAMETERS,
        [
            [
                each
                for each in Summary(Period(), is_wide=True).fields
                if each.name not in SUMMARY_LEFT_OUT
            ]
        ],
        summary="Summary statistics for a period",
        description=(
            "One record: readings, totals, raw and clean energy, peak demand, load factor, power"
            " factor, base load, coverage and flags. Without readings in the period it is null."
        ),
        example=_WEEK,
        is_single=True,
    ),
    _route(
        f"{_METER}/quality",
        "getQuality",
        figures_of_meter("quality"),
        QUALITY_PARAMETERS,
        [DataQuality.of({"list": name}).fields for name in LISTS],
        summary="Gaps, flagged readings and coverage",
        description=(
            "A gap is a sequence of readings that are absent or have no values. A flagged reading"
            " comes with the condition of its flags."
        ),
        example={"from": "2019-09-25", "to": "2019-09-26"},
    ),
    _route(
        f"{_METER}/imports",
        "listImports",
        imports_of_meter(is_one=False),
        IMPORT_PARAMETERS,
        [IMPORT_FIELDS],
        tag="imports",
        summary="The imports of a meter, the latest first",
        description="Which reports were loaded, and what each of them added and changed.",
        is_paged=True,
        has_permission=True,
    ),
    _route(
        f"{_METER}/imports/{{{NUMBER}}}",
        "getImport",
        imports_of_meter(is_one=True),
        IMPORT_PARAMETERS,
        [REPLACED_FIELDS],
        tag="imports",
        summary="An import, and the values that it replaced",
        description=(
            "The import is in meta; data has a record for each reading of which it replaced values,"
            " with the values from before. Quantities that it did not replace are null."
        ),
        is_paged=True,
        has_permission=True,
    ),
    V1Route(
        path="/v1/groups",
        name="listGroups",
        tag="groups",
        summary="The groups that you may see",
        description="In the order of their ids, page by page.",
        parameters=GROUP_LIST_PARAMETERS,
        handler=visible_groups,
        kinds=[LISTED_GROUP_FIELDS],
    ),
    _route(
        _GROUP,
        "getGroup",
        group_of_path,
        [],
        [GROUP_FIELDS],
        tag="groups",
        summary="A group",
        description="What it is called, the time zone of its days, and what its readings span.",
        is_single=True,
    ),
    _route(
        f"{_GROUP}/readings",
        "getGroupReadings",
        readings_of_group,
        [*PERIOD, READING_FIELDS, V1_QUALITY, *PAGING],
        [_READING_OF_METER],
        tag="groups",
        summary="Readings of the meters of a group, by meter and time",
        description=(
            "Each meter, also of groups in it, on the days on which it belongs to the group: local"
            " days of the meter. For more than 200 meters, limit is required."
        ),
        example={"from": "2019-09-02", "limit": "2", "fields": "start,energy"},
        is_paged=True,
    ),
    _route(
        f"{_GROUP}/aggregates",
        "getGroupAggregates",
        figures_of_group("aggregates"),
        GROUP_AGGREGATE_PARAMETERS,
        [
            GroupAggregate(Period(), BUCKET_SIZES["day"], columns).fields
            for columns in (GROUP_COLUMNS, ())
        ],
        tag="groups",
        summary="Sums of a group by time",
        description=(
            "The members are added up exactly; energy of those that are subtracted counts as"
            " negative. Each record says how many meters were counted, and which of them lack"
            " readings."
        ),
        example={"resolution": "P1D", **_WEEK, "fields": "energy"},
        is_paged=True,
    ),
    _route(
        f"{_GROUP}/profile",
        "getGroupProfile",
        figures_of_group("profile"),
        GROUP_PROFILE_PARAMETERS,
        [
            *(GroupProfile.of({"by": by}).fields for by in SPLITS),
            GroupProfile.of({"percentiles": "1"}).fields,
        ],
        tag="groups",
        summary="Load profile of a group: its demand by time of day",
        description=(
            "Demand is the energy of all members over time, without readings flagged catch_up. For"
            " each local time of day: mean, minimum, maximum and percentiles, in how many intervals"
            " members lack readings, and which members these are."
        ),
        example={**_WEEK, "by": "none", "percentiles": "50"},
        more_fields={"^p[0-9]+$": "A percentile"},
    ),
    _route(
        f"{_GROUP}/peaks",
        "getGroupPeaks",
        figures_of_group("peaks"),
        GROUP_PEAKS_PARAMETERS,
        [GroupPeaks.of({}).fields],
        tag="groups",
        summary="The highest demands of a group with their times",
        description=(
            "Demand is the energy of all members over time, without readings flagged catch_up:"
            " members peak at different times, so that it is no sum of their peaks. Each record"
            " says how many meters were counted, and which of them lack readings."
        ),
        example={**_WEEK, "limit": "2"},
    ),
    _route(
        f"{_GROUP}/summary",
        "getGroupSummary",
        figures_of_group("summary"),
        GROUP_SUMMARY_PARAMETERS,
        [GroupSummary(Period()).fields],
        tag="groups",
        summary="Sums of a group for a period",
        description="One record. Without readings in the period it is null.",
        example=_WEEK,
        is_single=True,
    ),
    _route(
        f"{_GROUP}/members",
        "getGroupMembers",
        figures_of_group("members"),
        GROUP_MEMBERS_PARAMETERS,
        [RANKED_MEMBER_FIELDS],
        tag="groups",
        summary="The meters of a group, ranked",
        description=(
            "By energy, energy per m2 or demand, the highest first; those of groups in it as well."
        ),
        example=_WEEK,
    ),
    _route(
        f"{_GROUP}/quality",
        "getGroupQuality",
        figures_of_group("quality"),
        GROUP_QUALITY_PARAMETERS,
        [GroupAggregate(Period(), BUCKET_SIZES["day"], ()).fields],
        tag="groups",
        summary="Coverage of a group by day",
        description="How many readings are there, and which members lack some.",
        example=_WEEK,
    ),
    _route(
        f"{_GROUP}/imports",
        "getGroupImports",
        imports_of_group,
        IMPORT_PARAMETERS,
        [MEMBER_IMPORT_FIELDS],
        tag="groups",
        summary="The imports of the meters of a group, the latest first",
        description=(
            "Which reports were loaded, for which meter, and what each of them added and changed;"
            " those of the meters that the group counts on all days."
        ),
        is_paged=True,
        has_permission=True,
    ),
    V1Route(
        path="/v1/completeness",
        name="getCompleteness",
        tag="meters",
        summary="Which readings of which meters are there",
        description=(
            "The newest reading of each meter, and how many readings of its last local days are"
            " expected and present."
        ),
        parameters=COMPLETENESS_PARAMETERS,
        handler=completeness,
        kinds=[BY_METER_FIELDS, BY_DAY_FIELDS],
        example={"days": "1", "search": "main"},
    ),
    V1Route(
        path=GRANTS_PATH,
        name="listGrants",
        tag="grants",
        summary="Your grants, and those of what you manage",
        description="By user and number, page by page.",
        parameters=GRANT_LIST_PARAMETERS,
        handler=visible_grants,
        kinds=[GRANT_FIELDS],
    ),
)

ROUTES = [*(route.definition for route in V1_ROUTES), *REMOVALS]
BODY_ROUTES = CHANGES
