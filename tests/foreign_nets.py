"""Small nets with the names, layers and conventions of other programs, written from facts in their repositories: the oracles of
`pipe weights import`. Each has `boxes(pillars, counts, cells)` -> boxes3d (A, 7) in our conventions, float64, and scores (A, C)
with the classes of `order`. x0 y0 z0 x1 y1 z1 = `limits`.
"""

import math

import torch
from torch import nn

SIZES = {"Car": (3.9, 1.6, 1.56), "Pedestrian": (0.8, 0.6, 1.73), "Cyclist": (1.76, 0.6, 1.73)}  # l w h
BOTTOMS = {"Car": -1.78, "Pedestrian": -0.6, "Cyclist": -0.6}


def limit_period(value, offset, period):
    return value - torch.floor(value / period + offset) * period


def conv_block(before, channels, stride, layers, pad):
    """pad: a padding layer of its own in front, which shifts the numbers of the others"""
    out = [nn.ZeroPad2d(1)] if pad else []
    out += [nn.Conv2d(before, channels, 3, stride, 0 if pad else 1, bias=False), nn.BatchNorm2d(channels, eps=1e-3), nn.ReLU()]
    for _ in range(layers):
        out += [nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels, eps=1e-3), nn.ReLU()]
    return nn.Sequential(*out)


def up_block(before, channels, stride):
    conv = nn.ConvTranspose2d(before, channels, stride, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels, eps=1e-3), nn.ReLU())


def part(**modules):
    out = nn.Module()
    for name, module in modules.items():
        setattr(out, name, module)
    return out


def columns(cells, cell, low):
    """x and y of the pillars' centres"""
    return torch.stack([cells[:, 1] * cell[0] + cell[0] / 2 + low[0], cells[:, 0] * cell[1] + cell[1] / 2 + low[1]], 1)


def canvas_of(features, cells, grid):
    canvas = torch.zeros(1, features.shape[1], *grid, dtype=features.dtype)
    canvas[0, :, cells[:, 0].long(), cells[:, 1].long()] = features.T
    return canvas


def anchors_of(order, xs, ys, rotations, wlh=False):
    """(A, 7) x y z l w h r, or x y z w l h r; z: bottom. By location (y, x), class, rotation"""
    out = torch.empty(len(ys), len(xs), len(order), len(rotations), 7, dtype=torch.float64)
    out[..., 0] = xs[None, :, None, None]
    out[..., 1] = ys[:, None, None, None]
    for i, name in enumerate(order):
        length, width, height = SIZES[name]
        out[:, :, i, :, 2] = BOTTOMS[name]
        out[:, :, i, :, 3:6] = torch.tensor([width, length, height] if wlh else [length, width, height], dtype=torch.float64)
    out[..., 6] = torch.tensor(rotations, dtype=torch.float64)
    return out.reshape(-1, 7)


def decoded(anchors, residuals):
    """Boxes of bottom anchors: SECOND's coder, the same in all of them; z: bottom. Order of the sizes: that of the anchors"""
    diagonal = torch.hypot(anchors[:, 3], anchors[:, 4])
    sizes = anchors[:, 3:6] * torch.exp(residuals[:, 3:6])
    x = residuals[:, 0] * diagonal + anchors[:, 0]
    y = residuals[:, 1] * diagonal + anchors[:, 1]
    z = residuals[:, 2] * anchors[:, 5] + (anchors[:, 2] + anchors[:, 5] / 2) - sizes[:, 2] / 2
    return torch.cat([torch.stack([x, y, z], 1), sizes, (residuals[:, 6] + anchors[:, 6])[:, None]], 1)


def from_second(boxes):
    """x y z(bottom) w l h r of KITTI's camera -> ours"""
    x, y, z, w, length, h, r = boxes.T
    return torch.stack([x, y, z + h / 2, length, w, h, -r - math.pi / 2], 1)


def from_bottom(boxes):
    boxes = boxes.clone()
    boxes[:, 2] += boxes[:, 5] / 2
    return boxes


class Pillars(nn.Module):
    """What OpenPCDet, mmdetection3d and zhulf0804 have in common. Subclasses name the parts and say what differs."""

    overwritten = False  # x y (z) of a point become the offsets to the pillar's centre
    features = 9
    order = ("Car", "Pedestrian", "Cyclist")
    channels, layers, ups = (8, 12, 16), (1, 2, 0), (8, 4, 12)

    def __init__(self, cell, limits, grid):
        super().__init__()
        self.cell, self.limits, self.grid = cell, limits, grid

    def first(self):
        """linear layer and norm"""
        return nn.Linear(self.features, 8, bias=False), nn.BatchNorm1d(8, eps=1e-3)

    def stages(self, pad):
        before = (8, *self.channels)
        blocks = [conv_block(before[i], c, 2, self.layers[i], pad) for i, c in enumerate(self.channels)]
        ups = [up_block(c, self.ups[i], 2**i) for i, c in enumerate(self.channels)]
        return nn.ModuleList(blocks), nn.ModuleList(ups)

    def new_head(self, *names):
        anchors = 2 * len(self.order)
        sizes = (anchors * len(self.order), anchors * 7, anchors * 2)
        return part(**{name: nn.Conv2d(sum(self.ups), n, 1) for name, n in zip(names, sizes, strict=True)})

    def decorated(self, pillars, counts, cells):
        kept = (torch.arange(pillars.shape[1]) < counts[:, None])[:, :, None]
        mean = pillars[:, :, :3].sum(1, keepdim=True) / counts[:, None, None]
        cluster = pillars[:, :, :3] - mean
        centre = pillars[:, :, : self.features - 7].clone()
        centre[:, :, :2] -= columns(cells, self.cell, self.limits)[:, None]
        if self.features == 10:
            centre[:, :, 2] -= (self.limits[2] + self.limits[5]) / 2
        own = torch.cat([centre, pillars[:, :, self.features - 7 :]], 2) if self.overwritten else pillars
        return torch.cat([own, cluster, centre], 2) * kept  # rows of zeros take part in the maximum

    def outputs(self, pillars, counts, cells, linear, norm, blocks, ups, heads):
        x = linear(self.decorated(pillars, counts, cells))
        features = norm(x.transpose(1, 2)).relu().amax(2)
        x, levels = canvas_of(features, cells, self.grid), []
        for block, up in zip(blocks, ups, strict=True):
            x = block(x)
            levels.append(up(x))
        x = torch.cat(levels, 1)
        widths = (len(self.order), 7, 2)
        return [head(x).permute(0, 2, 3, 1).reshape(-1, n).double() for head, n in zip(heads, widths, strict=True)]

    def centres(self):
        """x and y of anchors in the centres of locations"""
        rows, cols = self.grid[0] // 2, self.grid[1] // 2
        x0, y0, _, x1, y1, _ = self.limits
        xs = x0 + (torch.arange(cols, dtype=torch.float64) + 0.5) * (x1 - x0) / cols
        return xs, y0 + (torch.arange(rows, dtype=torch.float64) + 0.5) * (y1 - y0) / rows

    def ends(self, x1):
        """x and y of anchors from border to border"""
        rows, cols = self.grid[0] // 2, self.grid[1] // 2
        xs = torch.linspace(self.limits[0], x1, cols, dtype=torch.float64)
        return xs, torch.linspace(self.limits[1], self.limits[4], rows, dtype=torch.float64)


class OpenPCDet(Pillars):
    features = 10

    def __init__(self, *grid):
        super().__init__(*grid)
        linear, norm = self.first()
        self.vfe = part(pfn_layers=nn.ModuleList([part(linear=linear, norm=norm)]))
        blocks, ups = self.stages(pad=True)
        self.backbone_2d = part(blocks=blocks, deblocks=ups)
        self.dense_head = self.new_head("conv_cls", "conv_box", "conv_dir_cls")

    def boxes(self, pillars, counts, cells):
        first, head = self.vfe.pfn_layers[0], self.dense_head
        heads = (head.conv_cls, head.conv_box, head.conv_dir_cls)
        blocks, ups = self.backbone_2d.blocks, self.backbone_2d.deblocks
        scores, residuals, directions = self.outputs(pillars, counts, cells, first.linear, first.norm, blocks, ups, heads)
        boxes = decoded(anchors_of(self.order, *self.ends(self.limits[3]), (0, 1.57)), residuals)
        turned = limit_period(boxes[:, 6] - 0.78539, 0.0, math.pi)
        boxes[:, 6] = turned + 0.78539 + math.pi * directions.argmax(1)
        return from_bottom(boxes), scores.sigmoid()


class MMDet3D(Pillars):
    """1.x: ten features, l w h, yaw about z; the first direction begins at -pi/2."""

    overwritten, features = True, 10
    order = ("Pedestrian", "Cyclist", "Car")

    def __init__(self, *grid):
        super().__init__(*grid)
        linear, norm = self.first()
        self.voxel_encoder = part(pfn_layers=nn.ModuleList([part(linear=linear, norm=norm)]))
        blocks, ups = self.stages(pad=False)
        self.backbone, self.neck = part(blocks=blocks), part(deblocks=ups)
        self.bbox_head = self.new_head("conv_cls", "conv_reg", "conv_dir_cls")

    def raw(self, pillars, counts, cells):
        first, head = self.voxel_encoder.pfn_layers[0], self.bbox_head
        heads = (head.conv_cls, head.conv_reg, head.conv_dir_cls)
        return self.outputs(pillars, counts, cells, first.linear, first.norm, self.backbone.blocks, self.neck.deblocks, heads)

    def boxes(self, pillars, counts, cells):
        scores, residuals, directions = self.raw(pillars, counts, cells)
        boxes = decoded(anchors_of(self.order, *self.centres(), (0, 1.57)), residuals)
        turned = limit_period(boxes[:, 6] + math.pi / 2, 0, math.pi)
        boxes[:, 6] = turned - math.pi / 2 + math.pi * directions.argmax(1)
        return from_bottom(boxes), scores.sigmoid()


class OldMMDet3D(MMDet3D):
    """0.x: nine features, w l h, the camera's angle; the first direction is r in [0, pi), by its training target."""

    features = 9
    span = 70.4  # x of the last anchors, whatever the range is

    def boxes(self, pillars, counts, cells):
        scores, residuals, directions = self.raw(pillars, counts, cells)
        boxes = decoded(anchors_of(self.order, *self.ends(self.span), (0, 1.57), wlh=True), residuals)
        boxes[:, 6] = limit_period(boxes[:, 6], 0, math.pi) + math.pi * directions.argmax(1)
        return from_second(boxes), scores.sigmoid()


class Zhulf(Pillars):
    overwritten = True
    order = ("Pedestrian", "Cyclist", "Car")

    def __init__(self, *grid):
        super().__init__(*grid)
        self.pillar_encoder = part(conv=nn.Conv1d(9, 8, 1, bias=False), bn=nn.BatchNorm1d(8, eps=1e-3))
        blocks, ups = self.stages(pad=False)
        self.backbone, self.neck = part(multi_blocks=blocks), part(decoder_blocks=ups)
        self.head = self.new_head("conv_cls", "conv_reg", "conv_dir_cls")

    def boxes(self, pillars, counts, cells):
        first, head = self.pillar_encoder, self.head
        heads = (head.conv_cls, head.conv_reg, head.conv_dir_cls)

        def linear(x):
            return first.conv(x.transpose(1, 2)).transpose(1, 2)

        blocks, ups = self.backbone.multi_blocks, self.neck.decoder_blocks
        scores, residuals, directions = self.outputs(pillars, counts, cells, linear, first.bn, blocks, ups, heads)
        boxes = decoded(anchors_of(self.order, *self.centres(), (0, 1.57), wlh=True), residuals)
        boxes[:, 6] = limit_period(boxes[:, 6], 1, math.pi) + (1 - directions.argmax(1)) * math.pi
        return from_second(boxes), scores.sigmoid()


class Attention(nn.Module):
    """PACALayer of TANet"""

    def __init__(self, channels, points):
        super().__init__()
        inner_points, inner = points // (points // 8), channels // (channels // 8)
        self.pa = part(fc=nn.Sequential(nn.Linear(points, inner_points), nn.ReLU(), nn.Linear(inner_points, points)))
        self.ca = part(fc=nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels)))

    def forward(self, x):
        by_point, by_channel = self.pa.fc(x.amax(2)), self.ca.fc(x.amax(1))
        return x * torch.sigmoid(by_point[:, :, None] * by_channel[:, None])


class ReleasedTANet(nn.Module):
    """happinesslz/TANet on PointPillars, with fewer channels: F of a pillar, c of the blocks, u of the levels."""

    def __init__(self, cell, limits, grid, order, points=100, F=64, c=(64, 128, 256), u=128, layers=(0, 0, 0)):
        super().__init__()
        self.cell, self.limits, self.grid, self.order = cell, limits, grid, order
        ta = part(
            PACALayer1=Attention(9, points),
            PACALayer2=Attention(F, points),
            voxel_attention1=part(
                fc1=nn.Sequential(nn.Linear(12, 1), nn.ReLU()), fc2=nn.Sequential(nn.Linear(points, 1), nn.ReLU())
            ),
            voxel_attention2=part(
                fc1=nn.Sequential(nn.Linear(F + 3, 1), nn.ReLU()), fc2=nn.Sequential(nn.Linear(points, 1), nn.ReLU())
            ),
            FC1=nn.Sequential(nn.Linear(18, F), nn.ReLU()),
            FC2=nn.Sequential(nn.Linear(F, F), nn.ReLU()),
        )
        layer = part(linear=nn.Linear(F, F, bias=False), norm=nn.BatchNorm1d(F, eps=1e-3))
        self.voxel_feature_extractor = part(VoxelFeature_TA=ta, pfn_layers=nn.ModuleList([layer]))
        self.stride = 2 if order == ("Car",) else 1
        rpn, before = nn.Module(), (F, *c)
        for i in range(3):
            setattr(rpn, f"block{i + 1}", conv_block(before[i], c[i], self.stride if i == 0 else 2, layers[i], pad=True))
            setattr(rpn, f"deconv{i + 1}", up_block(c[i], u, 2**i))
            setattr(rpn, f"refine_up{i + 1}", up_block(c[i], u, 2**i))
            setattr(rpn, f"concat_conv{i + 1}", nn.Conv2d(u, u, 3, padding=1))
        rpn.bottle_conv = nn.Conv2d(3 * u, u, 1)
        rpn.block2_inc2x = nn.ConvTranspose2d(c[1], c[0] // 2, 2, 2, bias=False)
        rpn.block3_inc2x = nn.ConvTranspose2d(c[2], c[1] // 2, 2, 2, bias=False)
        rpn.block3_inc4x = nn.ConvTranspose2d(c[2], c[0] // 2, 4, 4, bias=False)
        rpn.fusion_block1 = nn.Conv2d(c[0] + 2 * (c[0] // 2), c[0], 1)
        rpn.fusion_block2 = nn.Conv2d(c[0] + c[1] + c[1] // 2, c[1], 1)
        rpn.fusion_block3 = nn.Conv2d(sum(c), c[2], 1)
        for name, widths, sizes in (
            ("RF1", (c[2], 32, c[2]), (1, 3)),
            ("RF2", (c[1], 32, c[1]), (3, 3)),
            ("RF3", (c[0], 32, 32, c[0]), (3, 3, 3)),
        ):
            steps = []
            for a, b, size in zip(widths, widths[1:], sizes, strict=False):
                steps += [nn.Conv2d(a, b, size, padding=size // 2, bias=False), nn.BatchNorm2d(b, eps=1e-3), nn.ReLU()]
            setattr(rpn, name, nn.Sequential(*steps))
        anchors = 2 * len(order)
        for names in (("conv_cls", "conv_box", "conv_dir_cls"), ("refine_cls", "refine_loc", "refine_dir")):
            for name, n in zip(names, (len(order), 7, 2), strict=True):
                setattr(rpn, name, nn.Conv2d(3 * u, anchors * n, 1))
        self.rpn = rpn
        self.register_buffer("global_step", torch.zeros(1, dtype=torch.int64))
        self.rpn_acc = part(total=nn.BatchNorm1d(1))  # counters of its training

    def pillar_features(self, pillars, counts, cells):
        ta, layer = self.voxel_feature_extractor.VoxelFeature_TA, self.voxel_feature_extractor.pfn_layers[0]
        kept = (torch.arange(pillars.shape[1]) < counts[:, None])[:, :, None]
        mean = pillars[:, :, :3].sum(1, keepdim=True) / counts[:, None, None]
        centre = pillars[:, :, :2] - columns(cells, (0.2, 0.2), (0, -40))[:, None]  # its defaults, whatever the grid is
        x = torch.cat([pillars, pillars[:, :, :3] - mean, centre], 2) * kept

        def attend(attention, by_voxel, x):
            out = attention(x)
            both = torch.cat([out, mean.expand(-1, x.shape[1], -1)], 2)
            return torch.sigmoid(by_voxel.fc2(by_voxel.fc1(both).transpose(1, 2))) * out

        wide = ta.FC1(torch.cat([attend(ta.PACALayer1, ta.voxel_attention1, x), x], 2))
        mixed = ta.FC2(wide + attend(ta.PACALayer2, ta.voxel_attention2, wide))
        return layer.norm(layer.linear(mixed).transpose(1, 2)).relu().amax(2)

    def boxes(self, pillars, counts, cells):
        """-> coarse boxes and scores, refined boxes and scores"""
        rpn, pool = self.rpn, nn.functional.max_pool2d
        x1 = rpn.block1(canvas_of(self.pillar_features(pillars, counts, cells), cells, self.grid))
        x2 = rpn.block2(x1)
        x3 = rpn.block3(x2)
        coarse = torch.cat([rpn.deconv1(x1), rpn.deconv2(x2), rpn.deconv3(x3)], 1)
        bottle = rpn.bottle_conv(coarse)
        fused1 = rpn.fusion_block1(torch.cat([x1, rpn.block2_inc2x(x2), rpn.block3_inc4x(x3)], 1))
        fused2 = rpn.fusion_block2(torch.cat([pool(x1, 2), x2, rpn.block3_inc2x(x3)], 1))
        fused3 = rpn.fusion_block3(torch.cat([pool(x1, 4), pool(x2, 2), x3], 1))
        fine = torch.cat(
            [
                rpn.concat_conv1(rpn.refine_up1(rpn.RF3(fused1)) + bottle),
                rpn.concat_conv2(rpn.refine_up2(rpn.RF2(fused2)) + bottle),
                rpn.concat_conv3(rpn.refine_up3(rpn.RF1(fused3)) + bottle),
            ],
            1,
        )

        def flat(head, x, n):
            return head(x).permute(0, 2, 3, 1).reshape(-1, n).double()

        num = len(self.order)
        rows, cols = self.grid[0] // self.stride, self.grid[1] // self.stride
        steps = [size * self.stride for size in self.cell]  # anchor_generator_stride: offset = corner + stride / 2
        xs = self.limits[0] + steps[0] / 2 + torch.arange(cols, dtype=torch.float64) * steps[0]
        ys = self.limits[1] + steps[1] / 2 + torch.arange(rows, dtype=torch.float64) * steps[1]
        anchors = anchors_of(self.order, xs, ys, (0, 1.57), wlh=True)
        if self.order != ("Car",):
            anchors[:, 2] = -1.465
        first = decoded(anchors, flat(rpn.conv_box, coarse, 7))
        second = decoded(first, flat(rpn.refine_loc, fine, 7))

        def turned(boxes, directions):
            opposite = (boxes[:, 6] > 0) != (directions.argmax(1) == 1)  # the second direction: r > 0
            boxes = boxes.clone()
            boxes[:, 6] += torch.where(opposite, math.pi, 0.0)
            return from_second(boxes)

        return (
            (turned(first, flat(rpn.conv_dir_cls, coarse, 2)), flat(rpn.conv_cls, coarse, num).sigmoid()),
            (turned(second, flat(rpn.refine_dir, fine, 2)), flat(rpn.refine_cls, fine, num).sigmoid()),
        )
