"""What `--items` and `{item}` mean, and what is refused."""

import pytest

from pipeline.batch.items import Item, Settings, folder_of, items, variables
from pipeline.errors import GraphError

SETTINGS = Settings.parse(["dets.config.sequences={item}"])


def names(text, graph="", settings=SETTINGS):
    return [(item.name, item.folder) for item in items(text, graph, settings)]


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_an_empty_list_is_refused(text):
    with pytest.raises(GraphError, match=r"--items: needs names .* got none"):
        names(text)


def test_one_and_many():
    assert names("0002") == [("0002", "0002")]
    assert names(" 0002, 0003 ,a b") == [("0002", "0002"), ("0003", "0003"), ("a b", "a_b")]


def test_an_item_twice_is_refused():
    with pytest.raises(GraphError, match="needs each item once, got 0002 again"):
        names("0002,0003,0002")


def test_items_that_would_share_a_folder_are_refused():
    with pytest.raises(GraphError, match=r"folders differ, got a/b and a_b, both for DIR/a_b"):
        names("a/b,a_b")


@pytest.mark.parametrize(
    ("name", "folder"), [("../x", "_._x"), ("/a/b/", "a_b"), (".hidden", "_hidden"), ("é 1", "é_1"), ("a\nb", "a_b")]
)
def test_folders_of_items_stay_in_dir(name, folder):
    assert folder_of(name) == folder


@pytest.mark.parametrize("name", ["", "/", "_all", "batch.json", "x" * 300])
def test_items_without_a_folder_are_refused(name):
    with pytest.raises(GraphError, match="needs items that can name a folder"):
        folder_of(name)


def test_a_glob_gives_sorted_paths_named_from_where_they_differ(tmp_path):
    for name in ("b/two.pcap", "a/one.pcap", "a/three.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = items(f"{tmp_path}/*/*.pcap", "", SETTINGS)
    assert [(item.name, item.folder, item.named) for item in found] == [
        (f"{tmp_path}/a/one.pcap", "a_one.pcap", False),
        (f"{tmp_path}/b/two.pcap", "b_two.pcap", False),
    ]


def test_a_glob_without_match_is_refused(tmp_path):
    with pytest.raises(GraphError, match=r"needs files or folders of this pattern, got none"):
        names(f"{tmp_path}/*.pcap")


def test_a_file_whose_name_looks_like_a_glob_is_itself(tmp_path):
    (tmp_path / "run[1].pcap").touch()
    assert names(f"{tmp_path}/run[1].pcap")[0][0] == f"{tmp_path}/run[1].pcap"


@pytest.mark.parametrize("sets", [[], ["a.config.b=1"], ["a.config.{item}=1"]])
def test_item_in_no_value_is_refused(sets):
    with pytest.raises(GraphError, match=r"needs \{item\} in at least one value, or each item would be the same run"):
        Settings.parse(sets)


def test_a_set_without_value_is_refused():
    with pytest.raises(GraphError, match=r"--set a.config.b: needs NODE.config.KEY=VALUE"):
        Settings.parse(["a.config.b"])


@pytest.mark.parametrize(
    ("set_", "item", "value"),
    [
        ("{item}", "0002", "0002"),
        ("{item}", "7", 7),
        ("{item}", "/data/a: b.pcap", "/data/a: b.pcap"),
        ("{item}", "[1]", "[1]"),
        ("/data/{item}/x", "0002", "/data/0002/x"),
        ("[{item}]", "0002", ["0002"]),
    ],
)
def test_the_value_of_an_item(set_, item, value):
    assert Settings.parse([f"a.config.b={set_}"]).of(item) == {"a.config.b": value}


def test_other_overrides_hold_for_all_items():
    settings = Settings.parse(["a.config.x=[1, 2]", "a.config.b={item}"])
    assert settings.of("k") == {"a.config.x": [1, 2], "a.config.b": "k"}
    assert settings.without_item() == {"a.config.x": [1, 2]}


def test_variables_of_the_graph_files():
    assert variables(["a: ${ROOT:-} ${OTHER}", "${N}"], {"ROOT": "/d", "N": "1", "HOME": "/h"}) == {"N": "1", "ROOT": "/d"}


AUTO = (
    "version: 1\nnodes:\n  dets: {driver: detections, config: {root: %s}}\n  sink: {op: test.null, inputs: {in: dets.boxes2d}}\n"
)


def test_auto_asks_the_driver(tmp_path):
    folder = tmp_path / "kitti/detections/rcnn_Car"
    folder.mkdir(parents=True)
    for name in ("0005", "0002"):
        (folder / f"{name}.txt").write_text("0,2,600,170,640,200,9,1.5,1.7,4.0,1,1.7,20,-1.57,0.4\n")
    graph = tmp_path / "graph.yaml"
    graph.write_text(AUTO % (tmp_path / "kitti"))
    assert items("auto", str(graph), SETTINGS) == [Item("0002", "0002", False), Item("0005", "0005", False)]
    one = Settings.parse(["dets.config.detector={item}"])
    with pytest.raises(GraphError, match="detections lists its sequences, not its detector"):
        items("auto", str(graph), one)
    with pytest.raises(GraphError, match=r"sink.config.write is not the config of a driver"):
        items("auto", str(graph), Settings.parse(["sink.config.write={item}"]))


def test_auto_of_a_driver_without_parts(graph):
    with pytest.raises(GraphError, match=r"test.counter lists no parts"):
        items("auto", str(graph), Settings.parse(["src.config.start={item}"]))
