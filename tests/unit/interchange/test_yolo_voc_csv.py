"""YOLO, VOC and CSV files as other tools write them."""

import pytest

from loupe.domain.interchange.records import UnreadableFile
from loupe.domain.interchange.yolo import label_files_of
from loupe.domain.label_values import Box, Boxes, OneLabel, SeveralLabels
from tests.unit.interchange.folder import read

# YOLO


def test_centres_become_corners_in_pixels() -> None:
    files: dict[str, str | bytes] = {
        "images/1.jpg": "",
        "labels/1.txt": "1 0.5 0.5 0.25 0.5\r\n0 0.1 0.1 0.2 0.2\n",
        "classes.txt": "nut\r\nbolt\r\n",
    }
    [found], _ = read("yolo", "bounding-box", files)
    assert found.in_pixels((40, 20)) == Boxes((Box("bolt", 15, 5, 10, 10), Box("nut", 0, 0, 8, 4)))


def test_the_edge_may_be_overstepped_by_a_pixel_of_rounding() -> None:
    files: dict[str, str | bytes] = {"1.jpg": "", "1.txt": "0 0.4999 0.5 1.0 1.0", "classes.txt": "nut"}
    [found], _ = read("yolo", "bounding-box", files)
    value = found.in_pixels((100, 100))
    assert isinstance(value, Boxes)
    [box] = value.boxes
    assert (box.left, box.top, box.height) == (0, 0, 100)
    assert box.width == pytest.approx(99.99)


def test_an_empty_label_file_says_that_nothing_is_there_and_a_missing_one_nothing() -> None:
    files: dict[str, str | bytes] = {"1.jpg": "", "1.txt": "", "2.jpg": "", "data.yaml": "names: {0: nut}"}
    found, findings = read("yolo", "bounding-box", files)
    assert [(each.image, each.value) for each in found] == [("1.jpg", Boxes(()))]
    assert findings.left_out == {"images without a label file": 1}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2 .5 .5 .1 .1", "there is no class 2; the classes are 0 to 1"),
        ("0 .5 .5 .1", "4 numbers"),
        ("0 .1 .1 .2 .1 .2 .2", "polygons"),
        ("0 .5 .5 .1 x", "not five numbers"),
    ],
)
def test_lines_that_are_no_boxes_are_faults_with_their_line(line: str, said: str) -> None:
    files: dict[str, str | bytes] = {
        "1.jpg": "",
        "1.txt": f"0 .5 .5 .1 .1\n{line}\n",
        "data.yaml": "names: [no, yes]",
    }
    found, findings = read("yolo", "bounding-box", files)
    assert found == []
    assert str(findings.faults[0]).startswith("1.txt, line 2: ")
    assert said in str(findings.faults[0])


def test_names_of_classes_are_text_however_yaml_reads_them() -> None:
    files: dict[str, str | bytes] = {"1.jpg": "", "1.txt": "0 .5 .5 .1 .1", "data.yaml": "names: [no, 1]"}
    [found], _ = read("yolo", "bounding-box", files)
    assert found.value.names == ("no",)


def test_without_names_of_classes_it_says_how_to_give_them() -> None:
    with pytest.raises(UnreadableFile, match="--classes"):
        read("yolo", "bounding-box", {"1.jpg": "", "1.txt": ""})


def test_the_last_folder_named_images_is_the_one_that_counts() -> None:
    assert next(label_files_of("images/train/images/1.jpg")) == "images/train/labels/1.txt"


def test_classification_is_folders_named_for_labels() -> None:
    files: dict[str, str | bytes] = {"train/ok/1.jpg": "", "val/dent/2.png": "", "ok/3.jpg": "", "4.jpg": ""}
    found, findings = read("yolo", "image-classification", files)
    assert {each.image: each.value for each in found} == {
        "train/ok/1.jpg": OneLabel("ok"),
        "val/dent/2.png": OneLabel("dent"),
        "ok/3.jpg": OneLabel("ok"),
    }
    assert findings.left_out == {"images that are in no folder named for a label": 1}


# VOC

VOC = """<annotation><folder>VOC2012</folder><filename>{filename}</filename>
<size><width>40</width><height>30</height><depth>3</depth></size>
<object><name>bolt</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>40</xmax><ymax>3</ymax></bndbox>
<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
</object></annotation>"""


def test_corners_are_counted_from_1_and_lie_within_the_box() -> None:
    files: dict[str, str | bytes] = {
        "Annotations/1.xml": VOC.format(filename="1.jpg"),
        "JPEGImages/1.jpg": "",
    }
    [found], findings = read("voc", "bounding-box", files)
    assert found.image == "JPEGImages/1.jpg"
    assert found.in_pixels((40, 30)) == Boxes((Box("bolt", 0, 2, 40, 1),))
    assert "objects that are difficult are boxes as all others" in findings.notes


def test_a_file_name_that_is_wrong_is_made_up_for_by_the_name_of_the_xml_file() -> None:
    files: dict[str, str | bytes] = {
        "Annotations/1.xml": VOC.format(filename="C:\\data\\IMG.JPG"),
        "JPEGImages/1.jpeg": "",
    }
    [found], _ = read("voc", "bounding-box", files)
    assert found.image == "JPEGImages/1.jpeg"


def test_corners_counted_from_0_lose_the_pixel_that_does_not_exist() -> None:
    text = VOC.format(filename="1.jpg").replace("<xmin>1</xmin><ymin>3", "<xmin>0</xmin><ymin>3")
    [found], _ = read("voc", "bounding-box", {"1.xml": text})
    assert found.in_pixels((40, 30)) == Boxes((Box("bolt", 0, 2, 40, 1),))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotation><object/></annotation>", "object 1 has no name"),
        ("<annotation><object><name>a</name></object></annotation>", "has no bndbox"),
        ("<annotation>", "not XML that can be read"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "not XML that can be read"),
    ],
)
def test_xml_that_cannot_be_used_is_a_fault_of_that_file(text: str, said: str) -> None:
    found, findings = read("voc", "bounding-box", {"1.xml": text, "2.xml": VOC.format(filename="2.jpg")})
    assert len(found) == 1
    assert str(findings.faults[0]).startswith("1.xml: ")
    assert said in str(findings.faults[0])


# CSV


def test_several_rows_are_several_labels_and_an_empty_one_none() -> None:
    files: dict[str, str | bytes] = {
        "l.csv": "\ufefffile;label;by\r\na.jpg;rust;me\r\nb.jpg;;\r\na.jpg;dent;me"
    }
    found, _ = read("csv", "multi-label-classification", files)
    assert [(each.image, each.value) for each in found] == [
        ("a.jpg", SeveralLabels(("rust", "dent"))),
        ("b.jpg", SeveralLabels(())),
    ]


def test_boxes_are_rows_with_four_numbers() -> None:
    files: dict[str, str | bytes] = {"l.csv": 'label,file,left,top,width,height\nbolt,"a, b.jpg",1,2.5,3,4\n'}
    [found], _ = read("csv", "bounding-box", files)
    assert (found.image, found.value) == ("a, b.jpg", Boxes((Box("bolt", 1, 2.5, 3, 4),)))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.jpg,nut,1,2,3", "5 columns, but the first line names 6"),
        ("a.jpg,nut,1,2,3,wide", "must be numbers"),
        (",nut,1,2,3,4", "names no file"),
        ("c.jpg,,,,,", "has both an empty label and others"),
    ],
)
def test_rows_that_cannot_be_used_are_faults_with_their_line(row: str, said: str) -> None:
    files: dict[str, str | bytes] = {
        "l.csv": f"file,label,left,top,width,height\nb.jpg,nut,1,2,3,4\nc.jpg,nut,1,2,3,4\n{row}\n"
    }
    found, findings = read("csv", "bounding-box", files)
    assert "b.jpg" in [each.image for each in found]
    assert str(findings.faults[0]).startswith("l.csv, line 4: ")
    assert said in str(findings.faults[0])


def test_columns_that_are_missing_are_named() -> None:
    with pytest.raises(UnreadableFile, match="it lacks label"):
        read("csv", "image-classification", {"l.csv": "file,class\n"})
