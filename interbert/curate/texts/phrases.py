"""What is said of any image: names that cameras give, words of buttons, and what stands in their place."""

import re

_EXTENSIONS = r"(?:jpe?g|png|gif|webp|svg|bmp|tiff?|html?|php)"
_CAMERAS = (
    "img|dsc[nf]?|dscf|pict?|image|photo|picture|screen ?shot|scan|untitled|unnamed|p|dji|gopr|mvi|wp|pxl"
)
FILE_NAME = re.compile(
    rf"^(?:https?://\S+|www\.\S+|\S+\.{_EXTENSIONS}(?:\?\S*)?"
    rf"|(?:{_CAMERAS})[\s_\-]*\d[\w\-]*"
    # Without going back: a row of a thousand dashes has as many ways to be cut as there are stars.
    r"|(?:[^\W\d]|-)*+\d(?:[^\W_]|-)*+_[\w\-]*+|[0-9a-f]{8,}|[^\s_\-]*+[_\-][^\s_\-]*+[_\-]\S*+"
    r"|\d+(?:[x×*]\d+)?(?: ?px)?|\W*)$",
    re.I,
)

_TO_DO = (
    "click|tap|press|hover|view|see|show|open|enlarge|zoom|expand|read|learn|download|share|like|print|save|"
    "close|next|previous|prev|back|play|skip"
)
_WITH_IT = (
    "here|on|the|this|that|to|for|and|or|a|an|in|new|window|it|all|now|more|larger|bigger|full|size|sized|"
    "version|details?|info|about|of|link|as|images?|pictures?|photos?|thumbnails?|gallery|slideshow|"
    "fullscreen|story|article|video|page|post|original|resolution|high|content|main|your"
)
_THINGS = (
    "image|photo|picture|thumbnail|graphic|logo|icon|banner|avatar|placeholder|illustration|figure|featured|"
    "header|hero|cover|main|product|profile|default|no|not|available|loading|advertisement|ad|sponsored|"
    "blank|spacer|decorative|of|the|a|an|article|post|for|this|user|author|preview|unavailable|coming|soon|"
    r"missing|found|navigation|here|our|my|untitled|\d+"
)
_PLACES = (
    "home|menu|search|log ?in|sign (?:in|up|out)|contact(?: us)?|about(?: us)?|subscribe|comments?|"
    "advertise(?: with us)?|share this|related (?:posts|articles|stories)|all rights reserved|"
    "点击(?:查看)?(?:放大|大图|原图|图片)?|图片(?:加载中)?|加载中|查看(?:大图|原图|更多)|暂无图片|广告|首页|更多|分享到?|上一[张页]|下一[张页]"
)
GENERIC = re.compile(
    rf"^\W*(?:(?:{_TO_DO})(?: (?:{_WITH_IT}|{_TO_DO}))*|(?:{_THINGS})(?: (?:{_THINGS}))*|(?:{_PLACES}))\W*$",
    re.I,
)
MENU = re.compile(r"(?:[^|>»•·/]{1,40}\s?[|>»•·]\s?){3,}|(?:\S+\s?/\s){3,}")
"""Parts with bars between them."""
